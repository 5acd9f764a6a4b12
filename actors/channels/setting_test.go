package channels

import (
	"strings"
	"testing"

	"kitestring/messages"
)

// env is a .env file.
type env map[string]string

func (e env) Secret(key string) messages.Secret { return messages.NewSecret(e[key]) }

const (
	aBot   = "123456:CANARY-bot-token-0123456789"
	aTopic = "https://ntfy.example/CANARY-topic"
	aHook  = "https://hooks.example/CANARY/hook?key=CANARY-key"
)

func TestRead(t *testing.T) {
	const local = "http://127.0.0.1:8420/"
	for name, c := range map[string]struct {
		env      env
		channels string
		warnings []string // a part of each
		login    string
	}{
		"nothing": {env{}, "", nil, local + "login"},
		"all": {
			env{
				KeyNtfyURL: aTopic, KeyNtfyToken: "tk_CANARY", KeyTelegramToken: aBot, KeyTelegramChat: "-100123",
				KeyWebhookURL: aHook, KeyWebhookToken: "CANARY", KeyDashboardURL: "https://kite.example/k/",
			}, "ntfy telegram webhook", nil, "https://kite.example/k/login",
		},
		"a local link":               {env{KeyNtfyURL: aTopic}, "ntfy", []string{"works on this machine only"}, local + "login"},
		"no topic":                   {env{KeyNtfyURL: "https://ntfy.sh/", KeyDashboardURL: "https://k.example"}, "", []string{"NTFY_URL names no topic"}, "https://k.example/login"},
		"a bare topic":               {env{KeyNtfyURL: "CANARY-topic"}, "", []string{"NTFY_URL is not an address"}, local + "login"},
		"an address that is no URL":  {env{KeyWebhookURL: "https://CANARY:port:x/%zz"}, "", []string{"WEBHOOK_URL is not an address"}, local + "login"},
		"another kind of address":    {env{KeyWebhookURL: "ftp://CANARY.example/"}, "", []string{"WEBHOOK_URL is not an address"}, local + "login"},
		"half of Telegram":           {env{KeyTelegramToken: aBot}, "", []string{"TELEGRAM_CHAT_ID is not there"}, local + "login"},
		"the other half":             {env{KeyTelegramChat: "1"}, "", []string{"TELEGRAM_BOT_TOKEN is not there"}, local + "login"},
		"not a bot's token":          {env{KeyTelegramToken: "CANARY", KeyTelegramChat: "1"}, "", []string{"TELEGRAM_BOT_TOKEN is not a bot's token"}, local + "login"},
		"not a chat":                 {env{KeyTelegramToken: aBot, KeyTelegramChat: "CANARY me"}, "", []string{"TELEGRAM_CHAT_ID is neither"}, local + "login"},
		"tokens without addresses":   {env{KeyNtfyToken: "CANARY", KeyWebhookToken: "CANARY", KeyWebhookSecret: "CANARY"}, "", []string{"NTFY_URL is not", "WEBHOOK_TOKEN is there and WEBHOOK_URL is not", "WEBHOOK_SECRET is there and WEBHOOK_URL is not"}, local + "login"},
		"a token in the clear":       {env{KeyNtfyURL: "http://ntfy.example/CANARY", KeyNtfyToken: "CANARY", KeyDashboardURL: "https://k.example"}, "ntfy", []string{"unencrypted"}, "https://k.example/login"},
		"in the clear on this host":  {env{KeyNtfyURL: "http://localhost:80/CANARY", KeyNtfyToken: "CANARY", KeyDashboardURL: "https://k.example"}, "ntfy", nil, "https://k.example/login"},
		"a dashboard with a secret":  {env{KeyDashboardURL: "https://k.example/?token=CANARY"}, "", []string{"DASHBOARD_URL is not an address"}, local + "login"},
		"a dashboard with a user":    {env{KeyDashboardURL: "https://me:CANARY@k.example/"}, "", []string{"DASHBOARD_URL is not an address"}, local + "login"},
		"a dashboard without scheme": {env{KeyDashboardURL: "CANARY.example"}, "", []string{"DASHBOARD_URL is not an address"}, local + "login"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Read(c.env, local)
			if got := strings.Join(s.Names(), " "); got != c.channels {
				t.Errorf("channels %q, want %q", got, c.channels)
			}
			if s.Login != c.login {
				t.Errorf("link %q, want %q", s.Login, c.login)
			}
			if len(s.Warnings) != len(c.warnings) {
				t.Fatalf("warnings %q, want %q", s.Warnings, c.warnings)
			}
			for i, w := range s.Warnings {
				if !strings.Contains(w, c.warnings[i]) {
					t.Errorf("warning %q, want %q in it", w, c.warnings[i])
				}
				if strings.Contains(w, "CANARY") {
					t.Errorf("a value stands in the warning %q", w)
				}
			}
		})
	}
}

func TestSecretsAreAllKeysButTheDashboard(t *testing.T) {
	all := env{}
	for _, key := range []string{KeyNtfyURL, KeyNtfyToken, KeyTelegramToken, KeyTelegramChat, KeyTelegramAPI, KeyWebhookURL, KeyWebhookToken, KeyWebhookSecret} {
		all[key] = "CANARY-" + key
	}
	found := map[string]bool{}
	for _, s := range Secrets(all) {
		found[s.Reveal()] = true
	}
	for key, value := range all {
		if !found[value] {
			t.Errorf("%s is no secret", key)
		}
	}
}
