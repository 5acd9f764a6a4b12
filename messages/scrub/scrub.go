// Package scrub makes text from outside fit to be shown: an error of a
// library, an answer of a server, a line of a file. Whatever comes from outside
// passes it once, before it becomes state, log, error or page.
//
// It promises that [Text] holds no secret that it was given (plain, as a URL
// escapes it, or as a quoted string escapes it), no value of a parameter,
// header or field that is known to carry one (access_token, request_token,
// Authorization, ...), no user and password of an address, nothing else that
// looks like a token; that it is valid UTF-8 on one line without control
// characters; and that it is at most [Bound] bytes long.
//
// Limits: a secret that was encrypted, compressed or encoded in base64 is not
// found, and neither is one shorter than 6 characters: replacing "a"
// everywhere would hide the text itself. Rather too much is hidden than too
// little: a harmless word of 24 characters with a digit goes, too.
package scrub

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"kitestring/messages"
)

// Bound is the longest that Text gives, in bytes.
const Bound = 200

// shortest is the length from which a value is taken for a secret.
const shortest = 6

// Text is foreign text without secrets, on one line, at most Bound bytes long.
func Text(text string, secrets ...messages.Secret) string { return New(secrets...).Line(text, Bound) }

// Scrubber hides a set of known secrets, and what looks like one. It is
// immutable and safe for concurrent use.
type Scrubber struct {
	secrets []messages.Secret // the longest first
	plain   *strings.Replacer
}

// New makes a scrubber of secrets.
func New(secrets ...messages.Secret) *Scrubber {
	s := &Scrubber{}
	for _, secret := range secrets {
		if len(secret.Reveal()) >= shortest {
			s.secrets = append(s.secrets, secret)
		}
	}
	slices.SortStableFunc(s.secrets, func(a, b messages.Secret) int { return len(b.Reveal()) - len(a.Reveal()) })
	var pairs []string
	for _, secret := range s.secrets {
		value := secret.Reveal()
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
			pairs = append(pairs, form, secret.String())
		}
	}
	s.plain = strings.NewReplacer(pairs...)
	return s
}

// Line is the text on one line, at most bound bytes long, with [Scrubber.Hide].
func (s *Scrubber) Line(text string, bound int) string {
	// Known secrets go first: one with a blank in it would be altered below.
	text = strings.ToValidUTF8(s.known(text), string(utf8.RuneError))
	text = strings.Join(strings.FieldsFunc(text, unprintable), " ")
	text = looksSecret(patterns(s.known(text)))
	if len(text) <= bound {
		return text
	}
	const mark = "..."
	cut := max(0, bound-len(mark))
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return (text[:cut] + mark)[:min(cut+len(mark), bound)]
}

// Known is the text without the known secrets, and otherwise as it was.
func (s *Scrubber) Known(text string) string { return s.known(text) }

// Hide is the text without the known secrets and without the values of what is
// known to carry one; everything else stays: for text that is ours, as a log's.
func (s *Scrubber) Hide(text string) string { return patterns(s.known(text)) }

// unprintable is what has no place on a line: blanks, controls, and the marks
// that change the direction of the text or that nobody sees.
func unprintable(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// known replaces the known secrets by their fingerprints.
func (s *Scrubber) known(text string) string {
	if len(s.secrets) == 0 {
		return text
	}
	text = s.plain.Replace(text)
	if !strings.ContainsAny(text, `%\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if secret, n := s.escaped(text[i:]); n > 0 {
			b.WriteString(secret.String())
			i += n
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// escaped is the secret with which text begins, however it is escaped, and its
// length there; 0: none.
func (s *Scrubber) escaped(text string) (messages.Secret, int) {
next:
	for _, secret := range s.secrets {
		at := 0
		for _, want := range []byte(secret.Reveal()) {
			switch c, n := unescape(text[at:]); {
			case n > 0 && c == want:
				at += n
			case at < len(text) && text[at] == want:
				at++
			default:
				continue next
			}
		}
		return secret, at
	}
	return messages.Secret{}, 0
}

// unescape reads one escaped byte: %2b, %252b, \x2b, \u002b or \" ; n is 0 for none.
func unescape(text string) (c byte, n int) {
	for _, form := range [...]struct {
		prefix string
		digits int
	}{{"%25", 2}, {"%", 2}, {`\x`, 2}, {`\u00`, 2}} {
		rest, ok := strings.CutPrefix(text, form.prefix)
		if !ok || len(rest) < form.digits {
			continue
		}
		if value, err := strconv.ParseUint(rest[:form.digits], 16, 8); err == nil {
			return byte(value), len(form.prefix) + form.digits
		}
	}
	if len(text) > 1 && text[0] == '\\' {
		return text[1], 2
	}
	return 0, 0
}

const (
	// names are those of what carries a secret at Kite and here.
	names = `(?:access|request|refresh|public|admin|ntfy|webhook|bot)[_-]?token|enctoken|api[_-]?(?:key|secret)|checksum|password|passwd|kf_session|totp(?:_secret)?`
	// open is what may stand between a name, its sign and the value: quotes and
	// brackets, plain, escaped or as a URL has them.
	quote = `(?:["'\[\\]|%22|%27|%5B)`
	open  = quote + `*`
	sign  = `(?:=>|=|:|%3D|%3A)`
	// value is what a secret may consist of. It does not begin with a dot or a
	// bracket: KEY=... and KEY=<value> are said to people, and [redacted] stays.
	value = `[A-Za-z0-9%+/_~-][^\s"'\\&,;<>()\[\]{}|]*`
)

var (
	fields = regexp.MustCompile(`(?i)((?:` + names + `)` + open + `\s*` + sign + `(?:\s*` + quote + `+)?)(` + value + `)`)
	// A colon and a blank stand in sentences, too: a longer value is asked for.
	spaced         = regexp.MustCompile(`(?i)((?:` + names + `)` + open + `\s*` + sign + `\s+)(` + value + `)`)
	authorizations = regexp.MustCompile(`(?i)(authorization` + open + `\s*` + sign + `\s*` + open + `(?:(?:token|bearer|basic|enctoken)(?:\s|%20|\+)+)?)(` + value + `)`)
	pairs          = regexp.MustCompile(`(?i)(\btoken(?:\s|%20|\+)+)([A-Za-z0-9]{6,}(?::|%3A)[A-Za-z0-9]{6,})`)
	users          = regexp.MustCompile(`(://)([^/\s@"']+)@`)
	words          = regexp.MustCompile(`[A-Za-z0-9_-]{24,}`)
)

const redacted = "[redacted]"

// patterns hides the values of what is known to carry a secret.
func patterns(text string) string {
	text = users.ReplaceAllString(text, "${1}"+redacted+"@")
	text = hideValues(authorizations, text, shortest)
	text = hideValues(pairs, text, shortest)
	text = hideValues(fields, text, shortest)
	return hideValues(spaced, text, 2*shortest)
}

// hideValues replaces the second group of each match, where it is long enough.
func hideValues(re *regexp.Regexp, text string, least int) string {
	var b strings.Builder
	last := 0
	for _, m := range re.FindAllStringSubmatchIndex(text, -1) {
		if v := text[m[4]:m[5]]; len(v) >= least && v != "redacted" {
			b.WriteString(text[last:m[4]])
			b.WriteString(redacted)
			last = m[5]
		}
	}
	return b.String() + text[last:]
}

// looksSecret hides long words with a digit or a capital: Kite's tokens and
// secrets are 32 alphanumerics, and nothing readable is like that.
func looksSecret(text string) string {
	return words.ReplaceAllStringFunc(text, func(word string) string {
		if strings.ContainsFunc(word, func(r rune) bool { return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' }) {
			return redacted
		}
		return word
	})
}
