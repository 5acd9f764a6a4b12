package profile

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kitestring/actors/token"
)

const (
	realKey    = "realkeyrealkey12"
	realSecret = "realsecretrealsecretrealsecret12"
)

// Each file is opened as run does. Unless the simulator may have it, not a byte
// of it changes.
func TestTheSimulatorWritesIntoItsOwnFileOnly(t *testing.T) {
	const sims = "KITESTRING_PROFILE=sim\nZERODHA_API_KEY=simkey\nZERODHA_API_SECRET=simsecret\nREDIRECT_URL=http://127.0.0.1:1/callback\n"
	for name, c := range map[string]struct {
		text    string // "-": there is no file
		wanted  string
		environ map[string]string
		profile string   // "": refused
		words   []string // of the refusal
	}{
		"no file":                       {text: "-", wanted: "auto", profile: "sim"},
		"empty":                         {text: "", wanted: "auto", profile: "sim"},
		"comments":                      {text: "# my settings\n\n", wanted: "auto", profile: "sim"},
		"the simulator's":               {text: sims, wanted: "auto", profile: "sim"},
		"the simulator's with a token":  {text: sims + "ZERODHA_ACCESS_TOKEN=" + realSecret + "\n", wanted: "sim", profile: "sim"},
		"an account":                    {text: "ZERODHA_API_KEY=" + realKey + "\nZERODHA_API_SECRET=" + realSecret + "\n", wanted: "auto", profile: "live"},
		"an account, sim asked for":     {text: "ZERODHA_API_KEY=" + realKey + "\n", wanted: "sim", words: []string{"real account (ZERODHA_API_KEY)", "--env-file"}},
		"a secret alone":                {text: "ZERODHA_API_SECRET=" + realSecret + "\n", wanted: "sim", words: []string{"real account (ZERODHA_API_SECRET)"}},
		"a token alone":                 {text: "ZERODHA_ACCESS_TOKEN=" + realSecret + "\n", wanted: "auto", words: []string{"real account (ZERODHA_ACCESS_TOKEN)"}},
		"a damaged mark":                {text: "KITESTRING_PROFILE sim and a password\n", wanted: "sim", words: []string{"line 1 (KITESTRING_PROFILE)"}},
		"a real key in the simulator's": {text: strings.ReplaceAll(sims, "simkey", realKey), wanted: "auto", words: []string{"KITESTRING_PROFILE=sim", "ZERODHA_API_KEY"}},
		"the same, sim asked for":       {text: strings.ReplaceAll(sims, "simsecret", realSecret), wanted: "sim", words: []string{"KITESTRING_PROFILE=sim", "ZERODHA_API_SECRET"}},
		"a cut line in the simulator's": {text: sims + "ZERODHA_API_SECRET='" + realSecret + "\n", wanted: "auto", words: []string{"line 5 (ZERODHA_API_SECRET)", "not closed"}},
		"the mark in the environment":   {text: "ZERODHA_API_KEY=" + realKey + "\n", environ: map[string]string{"KITESTRING_PROFILE": "sim"}, wanted: "sim", words: []string{"real account"}},
		"other names":                   {text: "KITE_API_KEY=" + realKey + "\nKITE_API_SECRET=" + realSecret + "\n", wanted: "auto", words: []string{"KITE_API_KEY, KITE_API_SECRET", "--profile sim"}},
		"other names, sim asked for":    {text: "KITE_API_KEY=" + realKey + "\n", wanted: "sim", profile: "sim"},
		"YAML":                          {text: "ZERODHA_API_KEY: " + realKey + "\nZERODHA_API_SECRET: " + realSecret + "\n", wanted: "auto", words: []string{"line 1", `"="`, "line 2", "--profile sim"}},
		"JSON":                          {text: `{"ZERODHA_API_KEY": "` + realKey + `"}` + "\n", wanted: "auto", words: []string{"line 1", "--profile sim"}},
		"CR line ends":                  {text: "ZERODHA_API_KEY=" + realKey + "\rZERODHA_API_SECRET=" + realSecret + "\r", wanted: "auto", words: []string{"line 1 (ZERODHA_API_KEY)", "control characters"}},
		"UTF-16":                        {text: "\xff\xfeZ\x00E\x00", wanted: "auto", words: []string{"UTF-16"}},
		"too large":                     {text: strings.Repeat("# a comment\n", 100_000), wanted: "auto", words: []string{"cannot be read", "larger"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			if c.text != "-" {
				if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			store, err := token.Open(token.StoreConfig{Path: path, Log: slog.New(slog.DiscardHandler), Getenv: func(key string) string { return c.environ[key] }})
			if err != nil {
				t.Fatal(err)
			}
			profile, err := Resolve(c.wanted, store)
			if c.profile != "" && (err != nil || profile != c.profile) || c.profile == "" && err == nil {
				t.Fatalf("profile %q, %v; want %q", profile, err, c.profile)
			}
			if err == nil && profile == "sim" {
				if err := Bootstrap(t.Context(), store, "http://127.0.0.1:8420/callback"); err != nil {
					t.Fatal(err)
				}
			}
			read, _ := os.ReadFile(path)
			after := string(read)
			if err == nil {
				for _, line := range strings.SplitAfter(strings.TrimPrefix(c.text, "-"), "\n") {
					if !strings.Contains(after, line) {
						t.Errorf("the line %q is gone from\n%s", line, after)
					}
				}
				return
			}
			if after != c.text {
				t.Errorf("refused, but changed: %d bytes", len(after))
			}
			for _, want := range c.words {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), realKey) || strings.Contains(err.Error(), realSecret) {
				t.Errorf("%q shows a value", err)
			}
		})
	}
}

func TestAPersonsRedirectIsKept(t *testing.T) {
	for _, held := range []string{"https://kite.example.com/callback", "http://192.168.1.5:8420/callback", "http://127.0.0.1:9000/callback"} {
		path := filepath.Join(t.TempDir(), ".env")
		if err := os.WriteFile(path, []byte("KITESTRING_PROFILE=sim\nREDIRECT_URL="+held+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := token.Open(token.StoreConfig{Path: path, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := Bootstrap(t.Context(), store, "http://127.0.0.1:8420/callback"); err != nil {
			t.Fatal(err)
		}
		if got := store.Credentials().RedirectURL; got != held {
			t.Errorf("REDIRECT_URL is %s, it was %s", got, held)
		}
	}
}

func TestExposure(t *testing.T) {
	for name, c := range map[string]struct{ admin, addr, words string }{
		"loopback without":      {"", "127.0.0.1:1", ""},
		"loopback with a long":  {strings.Repeat("x", 32), "127.0.0.1:1", ""},
		"loopback with a short": {"tooshort", "127.0.0.1:1", "has 8 characters"},
		"open without":          {"", "0.0.0.0:1", "can be reached from other machines"},
		"open with a short":     {"tooshort", "0.0.0.0:1", "has 8 characters"},
		"open with a long":      {strings.Repeat("x", 32), "0.0.0.0:1", ""},
	} {
		store, err := token.Open(token.StoreConfig{Path: filepath.Join(t.TempDir(), ".env"), Log: slog.New(slog.DiscardHandler), Getenv: func(key string) string {
			return map[string]string{"ADMIN_TOKEN": c.admin}[key]
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckExposure("--addr", c.addr, store); (err == nil) != (c.words == "") || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", name, err, c.words)
		}
	}
}
