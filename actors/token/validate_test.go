package token

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kitestring/actors/token/dotenv"
)

func TestExamine(t *testing.T) {
	const token = "0123456789abcdefghijABCDEFGHIJxy"
	const keys = "ZERODHA_API_KEY=key\nZERODHA_API_SECRET=secret\n"
	for _, c := range []struct {
		name, text string
		environ    map[string]string
		had        bool
		token      string
		line       int
		refusal    string // part of the reason; "": usable
		warning    string
	}{
		{name: "whole", text: keys + "ZERODHA_ACCESS_TOKEN=" + token + "\n", token: token},
		{name: "single quotes, as python-dotenv writes", text: keys + "ZERODHA_ACCESS_TOKEN='" + token + "'\n", token: token},
		{name: "no token yet", text: keys, warning: "log in"},
		{name: "empty token", text: keys + "ZERODHA_ACCESS_TOKEN=\n", warning: "log in"},
		{name: "token gone", text: keys, had: true, refusal: "is gone"},
		{name: "token emptied", text: keys + "ZERODHA_ACCESS_TOKEN=\n", had: true, refusal: "is gone", line: 3},
		{name: "no newline", text: keys + "ZERODHA_ACCESS_TOKEN=" + token[:12], refusal: "half written", line: 3},
		{name: "whole without a newline", text: keys + "ZERODHA_ACCESS_TOKEN=" + token, refusal: "half written", line: 3},
		{name: "key without a newline", text: "ZERODHA_ACCESS_TOKEN=" + token + "\nZERODHA_API_KEY=ke", refusal: "half written", line: 2},
		{name: "redirect URL without a newline", text: keys + "ZERODHA_ACCESS_TOKEN=" + token + "\nREDIRECT_URL=http://x", token: token},
		{name: "key alone", text: keys + "ZERODHA_ACCESS_TOKEN\n", refusal: `no "="`, line: 3},
		{name: "unclosed quote", text: "ZERODHA_ACCESS_TOKEN='" + token + "\n" + keys, refusal: "quote is not closed", line: 1},
		{name: "over two lines", text: keys + "ZERODHA_ACCESS_TOKEN='" + token + "\n'\n", refusal: "spans lines", line: 3},
		{name: "blanks in the token", text: keys + "ZERODHA_ACCESS_TOKEN=abc def\n", refusal: "holds blanks", line: 3},
		{name: "a URL", text: keys + "ZERODHA_ACCESS_TOKEN=http://127.0.0.1/?request_token=abc\n", refusal: "is a URL", line: 3},
		{name: "a letter that no token has", text: keys + "ZERODHA_ACCESS_TOKEN=ab$cd\n", refusal: "no such value", line: 3},
		{name: "URL characters", text: keys + "ZERODHA_ACCESS_TOKEN=0123456789abcdefghijABCDEFGHI+/=\n", token: "0123456789abcdefghijABCDEFGHI+/="},
		{name: "short", text: keys + "ZERODHA_ACCESS_TOKEN=typo\n", token: "typo", warning: "4 characters"},
		{name: "endless", text: keys + "ZERODHA_ACCESS_TOKEN=" + strings.Repeat("x", 600) + "\n", refusal: "longer than"},
		{name: "API key gone", text: "ZERODHA_ACCESS_TOKEN=" + token + "\n", refusal: "ZERODHA_API_KEY is missing"},
		{name: "API key from the environment", text: "ZERODHA_ACCESS_TOKEN=" + token + "\n", environ: map[string]string{KeyAPIKey: "key"}, token: token},
		{name: "bad API key", text: "ZERODHA_API_KEY=my key\nZERODHA_ACCESS_TOKEN=" + token + "\n", refusal: "ZERODHA_API_KEY holds blanks", line: 1},
		{name: "empty file", text: "", refusal: "ZERODHA_API_KEY is missing"},
		{name: "the file wins", text: keys + "ZERODHA_ACCESS_TOKEN=" + token + "\n", environ: map[string]string{KeyAccessToken: "old"}, token: token, warning: "ZERODHA_ACCESS_TOKEN in the process environment differs"},
		{name: "token of the environment at the start", text: keys, environ: map[string]string{KeyAccessToken: token}, token: token, warning: "comes from the process environment"},
		{name: "a stale environment does not step in", text: keys, environ: map[string]string{KeyAccessToken: token}, had: true, refusal: "is gone"},
		{name: "duplicate", text: keys + "ZERODHA_ACCESS_TOKEN=old\nZERODHA_ACCESS_TOKEN=" + token + "\n", token: token, warning: "2 times"},
		{name: "a bad line, then a good one", text: keys + "ZERODHA_ACCESS_TOKEN\nZERODHA_ACCESS_TOKEN=" + token + "\n", token: token, warning: "line 3 was skipped"},
		{name: "a good line, then a bad one", text: keys + "ZERODHA_ACCESS_TOKEN=" + token + "\nZERODHA_ACCESS_TOKEN\n", refusal: "line 4", line: 4},
		{name: "junk elsewhere", text: "junk\n" + keys + "ZERODHA_ACCESS_TOKEN=" + token + "\n", token: token, warning: "line 1 was skipped"},
		{name: "much junk", text: strings.Repeat("junk\n", 20) + keys + "ZERODHA_ACCESS_TOKEN=" + token + "\n", token: token, warning: "more lines were skipped"},
		{name: "byte order mark", text: "\xef\xbb\xbf" + keys + "ZERODHA_ACCESS_TOKEN=" + token + "\n", token: token, warning: "byte order mark"},
		{name: "UTF-16", text: "\xff\xfeZ\x00E\x00R\x00", refusal: "is UTF-16", line: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := examine(dotenv.Parse([]byte(c.text)), func(k string) string { return c.environ[k] }, c.had, false)
			switch {
			case c.refusal == "" && f.refusal != nil:
				t.Errorf("refused: %s", f.refusal.reason)
			case c.refusal != "" && (f.refusal == nil || !strings.Contains(f.refusal.reason, c.refusal)):
				t.Errorf("refusal is %+v, want one about %q", f.refusal, c.refusal)
			case c.line > 0 && f.refusal.line != c.line:
				t.Errorf("line is %d, want %d", f.refusal.line, c.line)
			}
			if got := f.token.Reveal(); got != c.token {
				t.Errorf("token is %q, want %q", got, c.token)
			}
			warnings := strings.Join(f.warnings, "\n")
			if !strings.Contains(warnings, c.warning) || c.warning == "" && c.refusal == "" && warnings != "" {
				t.Errorf("warnings are %q, want %q", warnings, c.warning)
			}
			said := warnings
			if f.refusal != nil {
				said += f.refusal.reason
			}
			if strings.Contains(said, token) || strings.Contains(said, token[:12]) {
				t.Errorf("a value is shown: %s", said)
			}
		})
	}
}

// A last line without a newline may be half written; in a file that nobody has
// touched for a while it is not.
func TestExamineAStillFile(t *testing.T) {
	none := func(string) string { return "" }
	token := newToken()
	e := dotenv.Parse([]byte("ZERODHA_API_KEY=key\nZERODHA_ACCESS_TOKEN=" + token))
	if f := examine(e, none, false, false); f.refusal == nil || !f.refusal.unfinished || !strings.Contains(f.refusal.reason, "no newline") {
		t.Errorf("a file that may be written: %+v", f.refusal)
	}
	f := examine(e, none, false, true)
	if f.refusal != nil || f.token.Reveal() != token || len(f.warnings) != 1 || !strings.Contains(f.warnings[0], "line 2") {
		t.Errorf("a still file: %+v, warnings %q", f.refusal, f.warnings)
	}
	if f := examine(dotenv.Parse([]byte("ZERODHA_API_KEY=key\nZERODHA_ACCESS_TOKEN='abc")), none, false, true); f.refusal == nil || f.refusal.unfinished {
		t.Errorf("another fault: %+v", f.refusal)
	}
}

func TestNext(t *testing.T) {
	now := time.Now()
	good := func(warnings ...string) observation {
		return observation{finding: finding{warnings: warnings}, at: now}
	}
	bad := func(reason string, after time.Duration) observation {
		return observation{finding: finding{refusal: &refusal{line: 3, reason: reason}}, at: now.Add(after)}
	}
	type step struct {
		seen  observation
		fresh bool
		want  []effect
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"start without a token", []step{{good(), false, []effect{accept{}}}}},
		{"start with a token", []step{{good(), true, []effect{accept{}, announce{}}}}},
		{"a new token", []step{{good(), true, []effect{accept{}, announce{}}}, {good(), true, []effect{announce{}}}}},
		{"a rewrite", []step{{good(), true, []effect{accept{}, announce{}}}, {good(), false, []effect{countUnchanged{}}}}},
		{"warnings change", []step{{good(), true, []effect{accept{}, announce{}}}, {good("w"), false, []effect{accept{}, countUnchanged{}}}, {good("w"), false, []effect{countUnchanged{}}}}},
		{"a passing fault", []step{{good(), true, []effect{accept{}, announce{}}}, {bad("x", 0), false, nil}, {good(), true, []effect{announce{}}}}},
		{"a lasting fault", []step{
			{good(), true, []effect{accept{}, announce{}}},
			{bad("x", 0), false, nil},
			{bad("x", confirmAfter), false, []effect{refuse{}}},
			{bad("x", time.Second), false, nil},
			{good(), false, []effect{accept{}, countUnchanged{}}},
		}},
		{"another fault needs its own time", []step{
			{bad("x", 0), false, nil},
			{bad("y", confirmAfter), false, nil},
			{bad("y", 2*confirmAfter), false, []effect{refuse{}}},
			{bad("x", 3*confirmAfter), false, nil},
			{bad("x", 4*confirmAfter), false, []effect{refuse{}}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s state
			for i, step := range c.steps {
				step.seen.fresh = step.fresh
				var effects []effect
				s, effects = next(s, step.seen)
				if got, want := kinds(effects), kinds(step.want); got != want {
					t.Fatalf("step %d: effects%s, want%s", i, got, want)
				}
			}
		})
	}
}

func kinds(effects []effect) (list string) {
	for _, e := range effects {
		list += fmt.Sprintf(" %T", e)
	}
	return list
}

func TestFromLine(t *testing.T) {
	const token = "0123456789abcdefghijABCDEFGHIJKL"
	for _, c := range []struct {
		line, want, refused string
		force               bool
	}{
		{line: token, want: token},
		{line: "  " + token + "\r\n", want: token},
		{line: `"` + token + `"`, want: token},
		{line: "'" + token + "'\n", want: token},
		{line: "ZERODHA_ACCESS_TOKEN=" + token + "\n", want: token},
		{line: "export ZERODHA_ACCESS_TOKEN = '" + token + "' # of today", want: token},
		{line: "0123456789abcdefghijABCDEFGHIJK=", want: "0123456789abcdefghijABCDEFGHIJK="},
		{line: "abcdefghijabcdefghijABCDEFGHIJK=", want: "abcdefghijabcdefghijABCDEFGHIJK="},
		{line: "short", force: true, want: "short"},
		{line: "\n", refused: "no token"},
		{line: "ZERODHA_ACCESS_TOKEN=\n", refused: "no token"},
		{line: "null", refused: "the word null"},
		{line: "None\n", refused: "the word none", force: true},
		{line: `"undefined"`, refused: "the word undefined"},
		{line: "short\n", refused: "5 characters"},
		{line: token + "x", refused: "33 characters"},
		{line: "OTHER=" + token, refused: "sets OTHER"},
		{line: "ZERODHA_ACCESS_TOKEN='" + token, refused: "not closed"},
		{line: "https://127.0.0.1/?access_token=" + token, refused: "is a URL", force: true},
		{line: `{"access_token":"` + token + `"}`, refused: "no such value", force: true},
	} {
		got, err := FromLine(c.line, c.force)
		if got.Reveal() != c.want || (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%q: %q, %v; want %q, %q", c.line, got.Reveal(), err, c.want, c.refused)
		}
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("%v shows the token", err)
		}
	}
}

func TestInspect(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	i := Inspect(path, nil)
	if i.Exists || !strings.Contains(i.Refusal, "does not exist") || i.Unwritable != nil {
		t.Errorf("no file: %+v", i)
	}
	put(t, path, fmt.Sprintf(fileText, newToken()), 0o640)
	i = Inspect(path, nil)
	if !i.Exists || i.Mode.Perm() != 0o640 || i.Refusal != "" || len(i.Warnings) != 1 || i.Mounted || i.Unwritable != nil {
		t.Errorf("a file: %+v", i)
	}
	put(t, path, fmt.Sprintf(fileText, newToken())+"REDIRECT_URL=a\nREDIRECT_URL=b\njunk\n", 0o600)
	i = Inspect(path, func(key string) string {
		return map[string]string{KeyAccessToken: "yesterday's", KeyRedirectURL: "b"}[key]
	})
	if len(i.Odd) != 2 || !slices.Equal(i.Shadowed, []string{KeyAccessToken}) || len(i.Warnings) != 3 {
		t.Errorf("an odd file: %+v", i)
	}
	put(t, path, "ZERODHA_API_KEY\n", 0o600)
	if i = Inspect(path, nil); i.Line != 1 || i.Refusal == "" {
		t.Errorf("a bad file: %+v", i)
	}
	if left := strays(t, path); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if i = Inspect(filepath.Join(path, "none", ".env"), nil); i.Unwritable == nil {
		t.Errorf("a file where the directory should be: %+v", i)
	}
	if i = Inspect(filepath.Join(filepath.Dir(path), "none", ".env"), nil); !errors.Is(i.Unwritable, fs.ErrNotExist) {
		t.Errorf("no directory: %+v", i)
	}
}
