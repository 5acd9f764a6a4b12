package reminder

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// The keys of the reminders in the .env file.
const (
	KeyNtfyURL       = "NTFY_URL"
	KeyNtfyToken     = "NTFY_TOKEN"
	KeyTelegramToken = "TELEGRAM_BOT_TOKEN"
	KeyTelegramChat  = "TELEGRAM_CHAT_ID"
	KeyTelegramAPI   = "TELEGRAM_API_URL"
	KeyWebhookURL    = "WEBHOOK_URL"
	KeyWebhookToken  = "WEBHOOK_TOKEN"
	KeyDashboardURL  = "DASHBOARD_URL"
)

// Keys is the .env file, or what stands in for it.
type Keys interface {
	Secret(key string) messages.Secret
}

// Secrets are the values that no output may hold.
func Secrets(keys Keys) []messages.Secret {
	var secrets []messages.Secret
	for _, key := range []string{KeyNtfyURL, KeyNtfyToken, KeyTelegramToken, KeyTelegramChat, KeyTelegramAPI, KeyWebhookURL, KeyWebhookToken} {
		secrets = append(secrets, keys.Secret(key))
	}
	return secrets
}

// The kinds of channels: label values of kitestring_reminders_total.
const (
	ntfy     = "ntfy"
	telegram = "telegram"
	webhook  = "webhook"
)

const telegramAPI = "https://api.telegram.org"

// setting is what the .env file says of the reminders.
type setting struct {
	channels []channel
	warnings []string // plain words, without any value
	login    string   // the link
}

// channel is one way to a person. It holds secrets and is never printed.
type channel struct {
	kind    string
	address messages.Secret
	token   messages.Secret
	chat    messages.Secret // telegram's
}

func (s setting) names() []string {
	var names []string
	for _, c := range s.channels {
		names = append(names, c.kind)
	}
	return names
}

func (s setting) channel(kind string) (channel, bool) {
	for _, c := range s.channels {
		if c.kind == kind {
			return c, true
		}
	}
	return channel{}, false
}

var (
	botToken = regexp.MustCompile(`^[0-9]+:[A-Za-z0-9_-]{20,}$`)
	chatID   = regexp.MustCompile(`^(-?[0-9]+|@[A-Za-z0-9_]+)$`)
)

// read makes a setting of the keys. dashboard is the login's address base when
// DASHBOARD_URL is not there.
func read(keys Keys, dashboard string) setting {
	var s setting
	warn := func(format string, args ...any) { s.warnings = append(s.warnings, fmt.Sprintf(format, args...)) }
	// address reports a key that is no address, and one that sends a token in the clear.
	address := func(key, like string, secret bool) (value messages.Secret, ok bool) {
		value = keys.Secret(key)
		u, err := url.Parse(value.Reveal())
		switch {
		case value.IsZero():
			return value, false
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			warn("%s is not an address like %s: no reminder goes there", key, like)
			return value, false
		case u.Scheme == "http" && secret && !loopback(u.Hostname()):
			warn("%s begins with http: the token goes over the network unencrypted; use https", key)
		}
		return value, true
	}

	if at, ok := address(KeyNtfyURL, "https://ntfy.sh/my-topic", !keys.Secret(KeyNtfyToken).IsZero()); ok {
		if u, _ := url.Parse(at.Reveal()); strings.Trim(u.Path, "/") == "" {
			warn("%s names no topic: it looks like https://ntfy.sh/my-topic; no reminder goes there", KeyNtfyURL)
		} else {
			s.channels = append(s.channels, channel{kind: ntfy, address: at, token: keys.Secret(KeyNtfyToken)})
		}
	} else if !keys.Secret(KeyNtfyToken).IsZero() && at.IsZero() {
		warn("%s is there and %s is not: no reminder goes over ntfy", KeyNtfyToken, KeyNtfyURL)
	}

	bot, chat := keys.Secret(KeyTelegramToken), keys.Secret(KeyTelegramChat)
	api, apiOK := address(KeyTelegramAPI, telegramAPI, true)
	if api.IsZero() {
		api, apiOK = messages.NewSecret(telegramAPI), true
	}
	switch {
	case bot.IsZero() && chat.IsZero():
	case bot.IsZero() || chat.IsZero():
		missing := KeyTelegramToken
		if chat.IsZero() {
			missing = KeyTelegramChat
		}
		warn("Telegram wants both %s and %s, and %s is not there: no reminder goes over it", KeyTelegramToken, KeyTelegramChat, missing)
	case !botToken.MatchString(bot.Reveal()):
		warn("%s is not a bot's token like 123456:ABC-DEF...: no reminder goes over Telegram", KeyTelegramToken)
	case !chatID.MatchString(chat.Reveal()):
		warn("%s is neither a number nor like @channel: no reminder goes over Telegram", KeyTelegramChat)
	case apiOK:
		s.channels = append(s.channels, channel{kind: telegram, address: api, token: bot, chat: chat})
	}

	if at, ok := address(KeyWebhookURL, "https://example.com/hook", !keys.Secret(KeyWebhookToken).IsZero()); ok {
		s.channels = append(s.channels, channel{kind: webhook, address: at, token: keys.Secret(KeyWebhookToken)})
	} else if !keys.Secret(KeyWebhookToken).IsZero() && at.IsZero() {
		warn("%s is there and %s is not: no reminder goes to a webhook", KeyWebhookToken, KeyWebhookURL)
	}

	base := dashboard
	switch own := keys.Secret(KeyDashboardURL).Reveal(); {
	case own != "" && plain(own):
		base = own
	case own != "":
		warn("%s is not an address like https://kite.example.com, without a user, a query or a fragment: links lead to %s", KeyDashboardURL, dashboard)
	case len(s.channels) > 0 && localOnly(dashboard):
		warn("the link in reminders leads to %s, which works on this machine only: put %s=<how you reach the dashboard> into the .env file", dashboard, KeyDashboardURL)
	}
	s.login = strings.TrimRight(base, "/") + "/login"
	return s
}

// plain is an address that can carry no secret by accident.
func plain(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func localOnly(address string) bool {
	u, err := url.Parse(address)
	return err == nil && loopback(u.Hostname())
}

// request makes the message of a slot for a channel.
func (c channel) request(ctx context.Context, slot time.Time, login string) (*http.Request, error) {
	at := slot.In(ist.Zone)
	const title = "Kite login due"
	text := fmt.Sprintf("%s IST: today's Kite login is due, the services have no valid access token. Log in: %s", at.Format("15:04"), login)
	address, header := c.address.Reveal(), http.Header{}
	var payload any
	switch c.kind {
	case ntfy:
		header.Set("Title", title)
		header.Set("Click", login)
		if slot.Equal(ist.At(slot, slots[len(slots)-1].hour, slots[len(slots)-1].minute, 0)) {
			header.Set("Priority", "high") // ten minutes are left
		}
	case telegram:
		address = strings.TrimRight(address, "/") + "/bot" + c.token.Reveal() + "/sendMessage"
		payload = map[string]any{
			"chat_id": c.chat.Reveal(), "text": title + "\n" + text, "link_preview_options": map[string]bool{"is_disabled": true},
		}
	case webhook:
		payload = map[string]string{
			"content": text, // what Discord shows; Slack shows text
			"event":   "login_due", "slot": at.Format("15:04"), "day": at.Format(time.DateOnly), "text": text, "login_url": login,
		}
	}
	data := []byte(text)
	if payload != nil {
		header.Set("Content-Type", "application/json")
		var err error
		if data, err = json.Marshal(payload); err != nil {
			return nil, err
		}
	}
	if c.kind != telegram && !c.token.IsZero() {
		header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	req.Header = header
	return req, nil
}

// mostAttempt is how long a channel may take to answer.
const mostAttempt = 10 * time.Second

// newClient makes a client that keeps no connection and follows no redirect: an
// address that moved is for a person to correct.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send makes one attempt. What it says of a failure holds neither address nor
// token: the errors of package http do.
func send(ctx context.Context, client *http.Client, c channel, slot time.Time, login string) outcome {
	ctx, cancel := context.WithTimeout(ctx, mostAttempt)
	defer cancel()
	req, err := c.request(ctx, slot, login)
	if err != nil {
		return outcome{final: true, reason: "its address cannot be used"}
	}
	resp, err := client.Do(req)
	if err != nil {
		return outcome{reason: unanswered(err)}
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return judge(resp)
}

// judge says what a status means.
func judge(resp *http.Response) outcome {
	code := resp.StatusCode
	said := "it answered " + strconv.Itoa(code)
	switch {
	case code >= 200 && code < 300:
		return outcome{arrived: true}
	case code >= 300 && code < 400:
		return outcome{final: true, reason: said + ", a redirect: give the address that it leads to"}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return outcome{final: true, reason: said + ": it does not accept the token in the .env file"}
	case code == http.StatusNotFound:
		return outcome{final: true, reason: said + ": nothing is at the address in the .env file"}
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return outcome{after: min(max(0, time.Duration(seconds)*time.Second), budget), reason: said}
	case code < 500 && code != http.StatusRequestTimeout:
		return outcome{final: true, reason: said + ": it does not take the message"}
	}
	return outcome{reason: said}
}

// unanswered names the cause without the address.
func unanswered(err error) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within " + mostAttempt.String()
	case errors.Is(err, context.Canceled):
		return "broken off"
	case errors.As(err, &name):
		return "its name is not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at its address"
	case errors.As(err, &certificate):
		return "its certificate is not accepted"
	}
	return "no connection"
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
