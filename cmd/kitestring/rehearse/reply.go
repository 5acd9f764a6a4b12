package rehearse

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kitestring/actors/channels/channelstest"
	"kitestring/messages"
)

// The bot of a drill, and who it talks to.
const (
	drillBot   = "4711:AAHdrill-bot-token-0123456789abcdef"
	drillChat  = 815
	drillTopic = "to-the-phone-CANARYTOPIC"
	replyTopic = "from-the-phone-CANARYTOPIC"
)

// phone is a person with a phone: what reaches it, and how it answers.
type phone struct {
	sent  func() []channelstest.Message
	write func(text string, at time.Time)
}

// got waits for a message after the first n that says something.
func (p phone) got(r *Rig, n int, what string) (text string) {
	r.within(45*time.Second, "the phone is sent: "+what, func() (bool, any) {
		all := p.sent()
		for _, m := range all[min(n, len(all)):] {
			if strings.Contains(m.Text, what) {
				text = m.Text
				return true, nil
			}
		}
		return false, fmt.Sprintf("%d messages since: %v", len(all)-n, all[min(n, len(all)):])
	})
	return text
}

// answers writes a text and waits for what is answered.
func (p phone) answers(r *Rig, text, want string) {
	n := len(p.sent())
	p.write(text, time.Now())
	p.got(r, n, want)
}

// tap opens the link of a reminder on the phone, approves the login, and gives
// the address that the phone cannot open.
func (r *Rig) tap(reminder string) string {
	i := strings.Index(reminder, "http://")
	if i < 0 {
		failf("there is no link in %q", reminder)
	}
	link := strings.Fields(reminder[i:])[0]
	form := url.Values{"api_key": {must(url.Parse(link)).Query().Get("api_key")}, "answer": {"approve"}}
	req := must(http.NewRequestWithContext(r.ctx, http.MethodPost, "http://"+r.sim+"/connect/login", strings.NewReader(form.Encode())))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	noRedirect := *r.http
	noRedirect.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp := must(noRedirect.Do(req))
	resp.Body.Close()
	back := must(resp.Location())
	r.secret(back.Query().Get("request_token"))
	return back.String()
}

// phoneDrill is a morning on which a person logs in by an answer.
func phoneDrill(name, over string, connect func(r *Rig) (lines string, p phone)) Drill {
	var p phone
	return Drill{
		Name: "login-by-" + name, Topic: Login, Short: true,
		Setup: Setup{Cold: true, ManualLogin: true, Start: at(2026, time.March, 11, 7, 59, 55), Prepare: func(r *Rig) {
			var lines string
			lines, p = connect(r)
			r.startWith(func(content, value string) string {
				return strings.Replace(content, value, strings.Repeat("D", 32), 1) + lines
			})
		}},
		Inject: "a person logs in on the phone and answers the reminder over " + over + " with the address of 127.0.0.1 that it cannot open; then again, with nonsense, with an old message",
		Hold:   "live within seconds and answered so; one exchange at most, each other answer says why; no secret in any output",
		Steps: func(r *Rig) {
			reminder := p.got(r, 0, "today's Kite login is due")
			if !strings.Contains(reminder, "/connect/login?") || !strings.Contains(reminder, "reply here") {
				failf("the reminder does not lead to Kite's login: %q", reminder)
			}
			p.answers(r, "what is this? \u0915\u094d\u092f\u093e \u0939\u0948?", "no address of a login")
			n := len(p.sent())
			p.write(r.tap(reminder), time.Now().Add(-20*time.Minute))
			p.got(r, n, "request tokens last a few minutes")
			if t := r.token(); t.State == messages.Valid {
				failf("an old message was used: %+v", t)
			}
			back := r.tap(reminder)
			start := time.Now()
			p.answers(r, "here you are: "+back, "live since 0")
			r.recovery(start)
			g := r.generation()
			p.answers(r, back, "was used before")
			p.answers(r, strings.Replace(back, "request_token=", "request_token=x!", 1), "is damaged")
			p.answers(r, "http://127.0.0.1/?status=cancelled", "was cancelled")
			r.secret(r.fileToken())
			if now := r.generation(); now != g || r.status().Feed.State != messages.Streaming {
				failf("generation %d became %d, the feed is %s", g, now, r.status().Feed.State)
			}
			if ok := r.metric("kitestring_replies_total", "result", "ok"); ok != 1 {
				failf("%v replies are counted as ok", ok)
			}
			r.note("answered with: %s", p.got(r, 0, "live since 0"))
		},
	}
}

var (
	_ = register(phoneDrill("telegram", "Telegram", func(r *Rig) (string, phone) {
		t := must(channelstest.NewTelegram(drillBot))
		r.cleanup(t.Close)
		r.secret(drillBot)
		return fmt.Sprintf("TELEGRAM_BOT_TOKEN=%s\nTELEGRAM_CHAT_ID=%d\nTELEGRAM_API_URL=%s\n", drillBot, drillChat, t.URL),
			phone{t.Sent, func(text string, at time.Time) { t.Write(drillChat, text, at) }}
	}))
	_ = register(phoneDrill("ntfy", "a reply topic of ntfy", func(r *Rig) (string, phone) {
		n := must(channelstest.NewNtfy())
		r.cleanup(n.Close)
		r.secret(drillTopic, replyTopic)
		return fmt.Sprintf("NTFY_URL=%s/%s\nNTFY_REPLY_URL=%s/%s\n", n.URL, drillTopic, n.URL, replyTopic),
			phone{n.Sent, func(text string, at time.Time) { n.Write(replyTopic, text, at) }}
	}))

	_ = register(Drill{
		Name: "login-by-flood", Topic: Login, Setup: Setup{Start: ordinary, Prepare: func(r *Rig) {
			t := must(channelstest.NewTelegram(drillBot))
			r.cleanup(t.Close)
			r.secret(drillBot)
			floodedBot = t
			content, _ := simFile(freeAddr(), r.setup.Start)
			_, path, _ := strings.Cut(content, "REDIRECT_URL=http://")
			r.config.Addr, _, _ = strings.Cut(path, "/")
			r.writeEnv(content + fmt.Sprintf("TELEGRAM_BOT_TOKEN=%s\nTELEGRAM_CHAT_ID=%d\nTELEGRAM_API_URL=%s\n", drillBot, drillChat, t.URL))
			r.secret(r.fileToken())
		}},
		Inject: "10,000 answers to the bot, half of them from another chat, many with addresses of logins; the bot's limits, and the bot down",
		Hold:   "a handful of exchanges and answers, none to the stranger; nothing is rotated, the feed is not touched",
		Steps: func(r *Rig) {
			before, g := r.workers(), r.generation()
			start, now := time.Now(), time.Now()
			for i := range 10_000 {
				chat := int64(drillChat)
				if i%2 == 1 {
					chat = 666
				}
				floodedBot.Write(chat, fmt.Sprintf("http://127.0.0.1:8420/callback?status=success&request_token=%032d", i), now)
			}
			floodedBot.Limit(3)
			r.within(90*time.Second, "all are read", func() (bool, any) {
				sum := r.metric("kitestring_replies_total")
				return sum >= 10_000 && floodedBot.Waiting() == 0, fmt.Sprintf("%v counted, %d wait", sum, floodedBot.Waiting())
			})
			r.recovery(start)
			floodedBot.Down(true)
			r.streams(3 * time.Second)
			r.within(15*time.Second, "ready names the channel that is down", func() (bool, any) {
				for _, c := range r.readiness().Checks {
					if c.Name == "reminder" {
						return c.State == messages.ReadyMissing && strings.Contains(c.Detail, "502"), c
					}
				}
				return false, nil
			})
			floodedBot.Down(false)
			for _, m := range floodedBot.Sent() {
				if m.To != fmt.Sprint(drillChat) {
					failf("a stranger was answered: %+v", m)
				}
			}
			strangers, sent := r.metric("kitestring_replies_total", "result", "stranger"), len(floodedBot.Sent())
			tried := r.metric("kitestring_rest_requests_total", "class", "session")
			if strangers != 5000 || sent > 40 || tried > 15 || r.generation() != g {
				failf("%v strangers counted, %d answers, %v exchanges, generation %d", strangers, sent, tried, r.generation())
			}
			r.untouched(before, "")
			r.note("%d answers, %v exchanges tried at Kite", sent, tried)
		},
	})
)

// floodedBot is the bot of login-by-flood.
var floodedBot *channelstest.Telegram
