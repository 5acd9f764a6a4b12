package channels

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"kitestring/messages"
)

// The keys of the channels in the .env file.
const (
	KeyNtfyURL       = "NTFY_URL"
	KeyNtfyToken     = "NTFY_TOKEN"
	KeyNtfyReply     = "NTFY_REPLY_URL"
	KeyTelegramToken = "TELEGRAM_BOT_TOKEN"
	KeyTelegramChat  = "TELEGRAM_CHAT_ID"
	KeyTelegramAPI   = "TELEGRAM_API_URL"
	KeyWebhookURL    = "WEBHOOK_URL"
	KeyWebhookToken  = "WEBHOOK_TOKEN"
	KeyWebhookSecret = "WEBHOOK_SECRET"
	KeyDashboardURL  = "DASHBOARD_URL"
)

// Keys is the .env file, or what stands in for it.
type Keys interface {
	Secret(key string) messages.Secret
}

// Secrets are the values that no output may hold.
func Secrets(keys Keys) []messages.Secret {
	var secrets []messages.Secret
	for _, key := range []string{KeyNtfyURL, KeyNtfyToken, KeyNtfyReply, KeyTelegramToken, KeyTelegramChat, KeyTelegramAPI, KeyWebhookURL, KeyWebhookToken, KeyWebhookSecret} {
		secrets = append(secrets, keys.Secret(key))
	}
	return secrets
}

// The kinds of channels: label values of metrics.
const (
	Ntfy     = "ntfy"
	Telegram = "telegram"
	Webhook  = "webhook"
)

// Kinds are all of them.
var Kinds = []string{Ntfy, Telegram, Webhook}

const telegramAPI = "https://api.telegram.org"

// Setting is what the .env file says of the channels.
type Setting struct {
	Channels []Channel
	Warnings []string // plain words, without any value
	// Dashboard is how a person reaches the dashboard, without a slash at its
	// end; Login is its page for a login.
	Dashboard, Login string
	Local            bool // both work on this machine only
}

// Channel is one way to a person. It holds secrets and is never printed.
type Channel struct {
	Kind    string
	Address messages.Secret
	Token   messages.Secret // ntfy, webhook: of the bearer; telegram: the bot's
	Chat    messages.Secret // telegram's
	Key     messages.Secret // webhook's, that signs
	Reply   messages.Secret // ntfy's topic that a person answers to; zero: none
}

// Answers reports whether a person can answer over the channel: in a chat with a
// Telegram bot (a channel of Telegram's has no answers), to a reply topic of ntfy.
func (c Channel) Answers() bool {
	return c.Kind == Telegram && !strings.HasPrefix(c.Chat.Reveal(), "@") || c.Kind == Ntfy && !c.Reply.IsZero()
}

// Names are the kinds that are set up.
func (s Setting) Names() []string {
	var names []string
	for _, c := range s.Channels {
		names = append(names, c.Kind)
	}
	return names
}

// Channel is the channel of a kind, false when it is not set up.
func (s Setting) Channel(kind string) (Channel, bool) {
	for _, c := range s.Channels {
		if c.Kind == kind {
			return c, true
		}
	}
	return Channel{}, false
}

var (
	botToken = regexp.MustCompile(`^[0-9]+:[A-Za-z0-9_-]{20,}$`)
	chatID   = regexp.MustCompile(`^(-?[0-9]+|@[A-Za-z0-9_]+)$`)
)

// Read makes a setting of the keys. dashboard is what links lead to when
// DASHBOARD_URL is not there.
func Read(keys Keys, dashboard string) Setting {
	var s Setting
	warn := func(format string, args ...any) { s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...)) }
	// address reports a key that is no address, and one that sends a token in the clear.
	address := func(key, like string, secret bool) (value messages.Secret, ok bool) {
		value = keys.Secret(key)
		u, err := url.Parse(value.Reveal())
		switch {
		case value.IsZero():
			return value, false
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			warn("%s is not an address like %s: nothing is sent there", key, like)
			return value, false
		case u.Scheme == "http" && secret && !loopback(u.Hostname()):
			warn("%s begins with http: the token goes over the network unencrypted; use https", key)
		}
		return value, true
	}

	if at, ok := address(KeyNtfyURL, "https://ntfy.sh/my-topic", !keys.Secret(KeyNtfyToken).IsZero()); ok {
		if u, _ := url.Parse(at.Reveal()); strings.Trim(u.Path, "/") == "" {
			warn("%s names no topic: it looks like https://ntfy.sh/my-topic; nothing is sent there", KeyNtfyURL)
		} else {
			c := Channel{Kind: Ntfy, Address: at, Token: keys.Secret(KeyNtfyToken)}
			if reply, ok := address(KeyNtfyReply, "https://ntfy.sh/my-replies", !c.Token.IsZero()); ok && !reply.Equal(at) {
				c.Reply = reply
			} else if ok {
				warn("%s is the topic of %s: what is sent there would come back as an answer; give it a topic of its own", KeyNtfyReply, KeyNtfyURL)
			}
			s.Channels = append(s.Channels, c)
		}
	} else if !keys.Secret(KeyNtfyToken).IsZero() && at.IsZero() {
		warn("%s is there and %s is not: nothing is sent over ntfy", KeyNtfyToken, KeyNtfyURL)
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
		warn("Telegram wants both %s and %s, and %s is not there: nothing is sent over it", KeyTelegramToken, KeyTelegramChat, missing)
	case !botToken.MatchString(bot.Reveal()):
		warn("%s is not a bot's token like 123456:ABC-DEF...: nothing is sent over Telegram", KeyTelegramToken)
	case !chatID.MatchString(chat.Reveal()):
		warn("%s is neither a number nor like @channel: nothing is sent over Telegram", KeyTelegramChat)
	case apiOK:
		s.Channels = append(s.Channels, Channel{Kind: Telegram, Address: api, Token: bot, Chat: chat})
	}

	if at, ok := address(KeyWebhookURL, "https://example.com/hook", !keys.Secret(KeyWebhookToken).IsZero()); ok {
		s.Channels = append(s.Channels, Channel{Kind: Webhook, Address: at, Token: keys.Secret(KeyWebhookToken), Key: keys.Secret(KeyWebhookSecret)})
	} else if at.IsZero() {
		for _, key := range []string{KeyWebhookToken, KeyWebhookSecret} {
			if !keys.Secret(key).IsZero() {
				warn("%s is there and %s is not: nothing is sent to a webhook", key, KeyWebhookURL)
			}
		}
	}

	base := dashboard
	switch own := keys.Secret(KeyDashboardURL).Reveal(); {
	case own != "" && plain(own):
		base = own
	case own != "":
		warn("%s is not an address like https://kite.example.com, without a user, a query or a fragment: links lead to %s", KeyDashboardURL, dashboard)
	case slices.ContainsFunc(s.Channels, func(c Channel) bool { return !c.Answers() }) && localOnly(dashboard):
		warn("the link in messages leads to %s, which works on this machine only: put %s=<how you reach the dashboard> into the .env file", dashboard, KeyDashboardURL)
	}
	s.Dashboard = strings.TrimRight(base, "/")
	s.Login, s.Local = s.Dashboard+"/login", localOnly(base)
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

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
