package channels

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Message is what a person gets, over any channel.
type Message struct {
	Title string
	Text  string
	Link  string // opened by a tap on ntfy's message; "": none
	// Urgent makes ntfy's message loud.
	Urgent bool
	// Event names the kind of message to a webhook; Fields are added to its JSON.
	Event  string
	Fields map[string]any
}

// Outcome of an attempt.
type Outcome struct {
	Arrived bool
	Final   bool          // trying again is of no use
	After   time.Duration // the channel's own wish for a pause
	Reason  string        // plain words, without address or token
}

// SignatureHeader carries the signature of a webhook's body: "t=UNIX,v1=HEX",
// with HEX = HMAC-SHA256(WEBHOOK_SECRET, "UNIX.BODY"). The time stands in it so
// that the receiver can refuse a message that is sent to it again later.
const SignatureHeader = "X-Kitestring-Signature"

// signature signs a body at a time.
func signature(key string, at time.Time, body []byte) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// request makes the message for a channel.
func (c Channel) request(ctx context.Context, m Message) (*http.Request, error) {
	address, header := c.Address.Reveal(), http.Header{}
	var payload any
	switch c.Kind {
	case Ntfy:
		header.Set("Title", m.Title)
		if m.Link != "" {
			header.Set("Click", m.Link)
		}
		if m.Urgent {
			header.Set("Priority", "high")
		}
	case Telegram:
		address = strings.TrimRight(address, "/") + "/bot" + c.Token.Reveal() + "/sendMessage"
		payload = map[string]any{
			"chat_id": c.Chat.Reveal(), "text": m.Title + "\n" + m.Text, "link_preview_options": map[string]bool{"is_disabled": true},
		}
	case Webhook:
		fields := map[string]any{"event": m.Event, "text": m.Text, "content": m.Text} // Slack shows text, Discord content
		maps.Copy(fields, m.Fields)
		payload = fields
	}
	data := []byte(m.Text)
	if payload != nil {
		header.Set("Content-Type", "application/json")
		var err error
		if data, err = json.Marshal(payload); err != nil {
			return nil, err
		}
	}
	if c.Kind != Telegram && !c.Token.IsZero() {
		header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	if !c.Key.IsZero() {
		header.Set(SignatureHeader, signature(c.Key.Reveal(), time.Now(), data)) // the receiver's clock is a machine's, too
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

// NewClient makes a client that keeps no connection and follows no redirect: an
// address that moved is for a person to correct.
func NewClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Send makes one attempt. What it says of a failure holds neither address nor
// token: the errors of package http do.
func Send(ctx context.Context, client *http.Client, c Channel, m Message) Outcome {
	ctx, cancel := context.WithTimeout(ctx, mostAttempt)
	defer cancel()
	req, err := c.request(ctx, m)
	if err != nil {
		return Outcome{Final: true, Reason: "its address cannot be used"}
	}
	resp, err := client.Do(req)
	if err != nil {
		return Outcome{Reason: unanswered(err)}
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	o := judge(resp, body)
	if o.Arrived && !c.says(body) {
		return Outcome{Reason: "it answered " + strconv.Itoa(resp.StatusCode) + " as another server does: a proxy may answer at its address"}
	}
	return o
}

// says reports whether the body of a good answer is the channel's own: Telegram says
// ok, ntfy repeats the message as JSON. A webhook may say anything.
func (c Channel) says(body []byte) bool {
	var answer struct {
		OK bool `json:"ok"`
	}
	err := json.Unmarshal(body, &answer)
	return c.Kind == Webhook || err == nil && (c.Kind != Telegram || answer.OK)
}

// judge says what a status means.
func judge(resp *http.Response, body []byte) Outcome {
	code := resp.StatusCode
	said := "it answered " + strconv.Itoa(code)
	switch {
	case code >= 200 && code < 300:
		return Outcome{Arrived: true}
	case code >= 300 && code < 400:
		return Outcome{Final: true, Reason: said + ", a redirect: give the address that it leads to"}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return Outcome{Final: true, Reason: said + ": it does not accept the token in the .env file"}
	case code == http.StatusConflict:
		return Outcome{Final: true, Reason: said + ": another program reads the messages of this bot, or it has a webhook; give this server a bot of its own"}
	case code == http.StatusNotFound:
		return Outcome{Final: true, Reason: said + ": nothing is at the address in the .env file"}
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		var telegram struct { // it says so in its answer
			Parameters struct {
				RetryAfter int `json:"retry_after"`
			} `json:"parameters"`
		}
		if json.Unmarshal(body, &telegram) == nil {
			seconds = max(seconds, telegram.Parameters.RetryAfter)
		}
		return Outcome{After: min(max(0, time.Duration(seconds)*time.Second), Budget), Reason: said}
	case code < 500 && code != http.StatusRequestTimeout:
		return Outcome{Final: true, Reason: said + ": it does not take the message"}
	}
	return Outcome{Reason: said}
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

// What a message may cost: attempts to a channel, and the time from the first
// to the last.
const (
	MostAttempts = 8
	Budget       = 4 * time.Minute
	// The pauses between attempts double from firstPause to longestPause; a
	// channel's own wish (Retry-After) may be longer, up to the budget.
	firstPause   = 2 * time.Second
	longestPause = time.Minute
)

// Pause is how long to wait after a failed attempt: doubling, half of it
// chance (jitter is 0 to 1), and not shorter than the channel's own wish.
func Pause(attempts int, jitter float64, o Outcome) time.Duration {
	d := min(firstPause<<min(attempts-1, 10), longestPause)
	return max(d/2+time.Duration(float64(d/2)*jitter), o.After)
}
