package scrub

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kitestring/messages"
)

const (
	token = "canary0123456789abcdefghijklmnop"
	signs = `pa+ss/word=with"quote\and blank%`
)

var known = []messages.Secret{messages.NewSecret(token), messages.NewSecret(signs), messages.NewSecret("abc"), {}}

func TestKnownSecretsAreHiddenInEveryForm(t *testing.T) {
	everyByte := func(format, s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, format, s[i])
		}
		return b.String()
	}
	for _, secret := range []string{token, signs} {
		quoted, _ := json.Marshal(secret)
		for name, form := range map[string]string{
			"plain": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret),
			"lower-case escapes": strings.ToLower(everyByte("%%%02X", secret)), "every byte": everyByte("%%%02X", secret),
			"escaped again": url.QueryEscape(url.QueryEscape(secret)),
			"Go":            strconv.Quote(secret), "JSON": string(quoted), "JSON in JSON": everyByte(`\u%04x`, secret), "hex": everyByte(`\x%02x`, secret),
		} {
			if name == "escaped again" && strings.Contains(secret, " ") {
				continue // a + that was escaped again may stand for a blank or for itself
			}
			for _, got := range []string{Text("before "+form+" after", known...), New(known...).Hide("before " + form + " after")} {
				if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") || !strings.Contains(got, messages.NewSecret(secret).String()) || strings.Contains(got, form) {
					t.Errorf("%s form %s becomes %q", name, form, got)
				}
			}
		}
	}
}

func TestValuesThatCarrySecretsAreHidden(t *testing.T) {
	for in, want := range map[string]string{
		`wss://ws.kite.trade/?api_key=kitekey1234&access_token=s3cretvalue`: `wss://ws.kite.trade/?api_key=[redacted]&access_token=[redacted]`,
		`malformed HTTP header "GET /?ACCESS_TOKEN=s3cretvalue HTTP/1.1"`:   `malformed HTTP header "GET /?ACCESS_TOKEN=[redacted] HTTP/1.1"`,
		`bad Content-Length "access_token=s3cret`:                           `bad Content-Length "access_token=[redacted]`,
		`next=%2Fcb%3Frequest_token%3Ds3cretvalue%26status%3Dok`:            `next=%2Fcb%3Frequest_token%3D[redacted]`,
		`{"access_token":"s3cretvalue","user":"AB1234"}`:                    `{"access_token":"[redacted]","user":"AB1234"}`,
		`{\"access_token\": \"s3cretvalue\"}`:                               `{\"access_token\": \"[redacted]\"}`,
		`map[access_token:[s3cretvalue] v:[3]]`:                             `map[access_token:[[redacted]] v:[3]]`,
		`Authorization: token kitekey1234:s3cretvalue`:                      `Authorization: token [redacted]`,
		`map[Authorization:[token kitekey1234:s3cretvalue]]`:                `map[Authorization:[token [redacted]]]`,
		`authorization: enctoken s3cretvalue==`:                             `authorization: enctoken [redacted]`,
		`sent token kitekey1234:s3cretvalue away`:                           `sent token [redacted] away`,
		`Cookie: kf_session=s3cretvalue; enctoken=s3cretvalue`:              `Cookie: kf_session=[redacted]; enctoken=[redacted]`,
		`http://user:s3cretvalue@proxy:3128/`:                               `http://[redacted]@proxy:3128/`,
		`ZERODHA_API_SECRET: s3cretvalue12`:                                 `ZERODHA_API_SECRET: [redacted]`,
		`unknown 7Gh3kLm9Qr2sTu5vWx8yZa1bCd4eFg6h here`:                     `unknown [redacted] here`,
		// What is said to people stays.
		`add the line ZERODHA_API_KEY=<your API key>`:           `add the line ZERODHA_API_KEY=<your API key>`,
		`Add the line ZERODHA_API_KEY=... to .env`:              `Add the line ZERODHA_API_KEY=... to .env`,
		`write ZERODHA_ACCESS_TOKEN=value`:                      `write ZERODHA_ACCESS_TOKEN=value`,
		`the parameter request_token is missing or damaged`:     `the parameter request_token is missing or damaged`,
		`api_key: missing`:                                      `api_key: missing`,
		`kitestring_token_changed_timestamp_seconds is odd`:     `kitestring_token_changed_timestamp_seconds is odd`,
		`token [redacted 0123abcd] and access_token=[redacted]`: `token [redacted 0123abcd] and access_token=[redacted]`,
		`dial tcp 127.0.0.1:8420: connect: connection refused`:  `dial tcp 127.0.0.1:8420: connect: connection refused`,
		``: ``,
	} {
		if got := Text(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestTextIsOneBoundedLine(t *testing.T) {
	for in, want := range map[string]string{
		"two\nlines\r\nand\ta tab ":          "two lines and a tab",
		"red \x1b[31malert\x07\x00":          "red [31malert",
		"right\u202eleft\u2066 zero\u200b.":  "right left zero .",
		"broken \xff utf8":                   "broken \ufffd utf8",
		strings.Repeat("x y ", 100):          strings.Repeat("x y ", 49) + "x...",
		strings.Repeat("\u20b9 ", 100):       strings.Repeat("\u20b9 ", 49) + "...",
		"access_token=" + token + "\nforged": "access_token=" + known[0].String() + " forged",
		"access_token=s3cret\u200bvalue":     "access_token=[redacted] value",
	} {
		if got := Text(in, known...); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestHideLeavesOurOwnTextAsItIs(t *testing.T) {
	text := "panic: x\n\tgoroutine 1\n" + strings.Repeat("7Gh3kLm9Qr2sTu5vWx8yZa1bCd4eFg6h/", 20) + "\xff"
	if got := New(known...).Hide(text); got != text {
		t.Errorf("got %q", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add("wss://host/?access_token=", "&mode=full", token)
	f.Add("a%", `\`, "s3cretvalue")
	f.Add("Authorization: token key:", "\x00", "%41bcdefg")
	f.Fuzz(func(t *testing.T, before, after, secret string) {
		s := messages.NewSecret(secret)
		for _, got := range []string{Text(before+secret+after, s), Text(before + secret + after)} {
			if len(got) > Bound || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
				t.Errorf("not one bounded line: %q", got)
			}
		}
		alphanumeric := !strings.ContainsFunc(secret, func(r rune) bool { return r >= utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if len(secret) < shortest || !alphanumeric || strings.Contains(s.String()+redacted, secret) {
			return // what the replacement itself shows proves nothing
		}
		if got := Text(before+secret+after, s); strings.Contains(got, secret) {
			t.Errorf("%q shows %q", got, secret)
		}
		if got := New(s).Hide(before + secret + after); strings.Contains(got, secret) {
			t.Errorf("Hide: %q shows %q", got, secret)
		}
	})
}
