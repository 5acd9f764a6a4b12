// Package dotenv reads and edits .env files and keeps every byte of them. Its
// grammar is in the documentation of package token, which decides what a file
// means.
//
// Limit: a value that the known readers of such files do not agree on is not
// written.
package dotenv

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"
)

// The keys of a session, whose lines must be right.
const (
	KeyAPIKey      = "ZERODHA_API_KEY"
	KeyAPISecret   = "ZERODHA_API_SECRET"
	KeyAccessToken = "ZERODHA_ACCESS_TOKEN"
	KeyRedirectURL = "REDIRECT_URL"
)

// Session are these keys.
var Session = [...]string{KeyAPIKey, KeyAPISecret, KeyAccessToken, KeyRedirectURL}

// Wide says why nothing in a UTF-16 file can be used.
const Wide = "the file is UTF-16 (as PowerShell's > writes it): save it as UTF-8"

const byteOrderMark = "\xef\xbb\xbf"

// File is a .env file with every byte of it, so that it can be edited without
// loss: Bytes gives back exactly what Parse was given. It is immutable and
// never prints its content, which is why that hides behind a pointer (fmt does
// not call methods on unexported fields, but neither does it follow pointers).
type File struct{ *content }

type content struct {
	mark  bool // a byte order mark came first
	wide  bool // it is UTF-16: nothing in it can be used
	lines []line
}

// line is one statement with its line end: a physical line, or several when a
// quoted value spans them.
type line struct {
	number   int // of its first physical line, from 1
	raw      []byte
	key      string // also of a faulty line, where it is known; "": blank or comment
	value    string
	quote    byte   // ' or ", 0: none
	from, to int    // the value in raw, quotes included
	several  bool   // spans physical lines
	fault    string // why the line is skipped, in words for a person and without its value
}

// Fault is a line that was skipped.
type Fault struct {
	Line   int    // from 1
	Key    string // "" when it is not known
	Reason string // words for a person, without any value
}

// Parse reads a file. It never fails: lines that make no sense become Faults.
func Parse(text []byte) *File {
	e := &File{&content{}}
	rest := bytes.Clone(text) // lines keep parts of it
	if bytes.HasPrefix(rest, []byte(byteOrderMark)) {
		e.mark, rest = true, rest[len(byteOrderMark):]
	}
	e.wide = bytes.HasPrefix(rest, []byte("\xff\xfe")) || bytes.HasPrefix(rest, []byte("\xfe\xff"))
	for number := 1; len(rest) > 0; {
		l := lexLine(rest)
		l.number = number
		number += bytes.Count(l.raw, []byte("\n"))
		rest = rest[len(l.raw):]
		e.lines = append(e.lines, l)
	}
	return e
}

// Bytes is the file, byte for byte.
func (e *File) Bytes() []byte {
	var b []byte
	if e.mark {
		b = append(b, byteOrderMark...)
	}
	for _, l := range e.lines {
		b = append(b, l.raw...)
	}
	return b
}

// Lookup is the value of a key: that of the last good line that holds it.
func (e *File) Lookup(key string) (value string, ok bool) {
	for i := len(e.lines) - 1; i >= 0; i-- {
		if l := &e.lines[i]; l.key == key && l.fault == "" {
			return l.value, true
		}
	}
	return "", false
}

// Faults lists the lines that were skipped.
func (e *File) Faults() []Fault {
	var faults []Fault
	if e.wide {
		return []Fault{{1, "", Wide}}
	}
	for _, l := range e.lines {
		if l.fault != "" {
			faults = append(faults, Fault{l.number, l.key, l.fault})
		}
	}
	return faults
}

// Format implements fmt.Formatter without the content.
func (e *File) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[.env file of %d lines]", len(e.lines)) }

// Line is what a reader must know of a line.
type Line struct {
	Number  int    // of its first physical line, from 1
	Key     string // also of a faulty line, where it is known; "": blank or comment
	Value   string
	Fault   string // why the line is skipped; "": it is good
	Several bool   // it spans physical lines
	Ended   bool   // by a newline
}

func (l *line) public() Line {
	return Line{l.number, l.key, l.value, l.fault, l.several, l.terminated()}
}

// Lines are all lines.
func (e *File) Lines() []Line {
	lines := make([]Line, len(e.lines))
	for i := range e.lines {
		lines[i] = e.lines[i].public()
	}
	return lines
}

// Last is the line that has the last word on a key, good or not; false: none.
func (e *File) Last(key string) (Line, bool) {
	if l := e.last(key); l != nil {
		return l.public(), true
	}
	return Line{}, false
}

// IsWide reports whether the file is UTF-16: nothing in it can be used.
func (e *File) IsWide() bool { return e.wide }

// Marked reports whether a byte order mark comes first.
func (e *File) Marked() bool { return e.mark }

// last is the line that has the last word on a key, good or not; nil: none.
func (e *File) last(key string) *line {
	for i := len(e.lines) - 1; i >= 0; i-- {
		if e.lines[i].key == key {
			return &e.lines[i]
		}
	}
	return nil
}

// Count is the number of lines with the key.
func (e *File) Count(key string) (n int) {
	for i := range e.lines {
		if e.lines[i].key == key {
			n++
		}
	}
	return n
}

func (l *line) terminated() bool { return bytes.HasSuffix(l.raw, []byte("\n")) }

// body is the line without its line end.
func (l *line) body() []byte { return trimEOL(l.raw) }

func trimEOL(raw []byte) []byte {
	raw = bytes.TrimSuffix(raw, []byte("\n"))
	return bytes.TrimSuffix(raw, []byte("\r"))
}

// lexLine reads the first statement of text, which is not empty.
func lexLine(text []byte) line {
	l := line{raw: physicalLine(text)}
	body := l.body()
	at := skipBlanks(body, 0)
	if at == len(body) || body[at] == '#' {
		return l
	}
	at = skipExport(body, at)
	end := at
	for end < len(body) && keyByte(body[end], end > at) {
		end++
	}
	l.key = string(body[at:end])
	if l.key == "" {
		l.fault = "it is not KEY=value"
		return l
	}
	at = skipBlanks(body, end)
	if at == len(body) || body[at] != '=' {
		if end < len(body) && !isBlank(body[end]) {
			l.key = "" // a key with foreign characters is another key
		}
		l.fault = `there is no "=" after the key`
		return l
	}
	l.from = skipBlanks(body, at+1)
	if l.from < len(body) && (body[l.from] == '\'' || body[l.from] == '"') {
		lexQuoted(&l, text)
	} else {
		l.to = l.from + unquotedLength(body[l.from:], l.from > at+1)
		l.value = string(body[l.from:l.to])
	}
	if l.fault == "" {
		l.fault = foreignBytes(trimEOL(l.raw))
	}
	return l
}

// lexQuoted reads a quoted value at l.from of text and extends l.raw when it
// spans lines. A quote that is closed nowhere, or where something else stands
// behind the closing one, or across a line with one of Session, makes only its own line faulty.
func lexQuoted(l *line, text []byte) {
	quote := text[l.from]
	closing := closingQuote(text, l.from, quote)
	if closing < 0 {
		l.fault = "its quote is not closed"
		return
	}
	if closing >= len(l.raw) {
		whole := text[:closing+len(physicalLine(text[closing:]))]
		if !endsCleanly(trimEOL(whole), closing+1) || holdsOurs(whole[len(l.raw):]) {
			l.fault = "its quote is not closed"
			return
		}
		l.raw, l.several = whole, true
	} else if !endsCleanly(l.body(), closing+1) {
		l.fault = "something stands behind its closing quote"
		return
	}
	l.quote, l.to = quote, closing+1
	l.value = string(text[l.from+1 : closing])
	if quote == '"' {
		l.value = unescape(l.value)
	}
}

func physicalLine(text []byte) []byte {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return text[:i+1]
	}
	return text
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func skipBlanks(body []byte, at int) int {
	for at < len(body) && isBlank(body[at]) {
		at++
	}
	return at
}

// skipExport skips "export " when a key follows ("export=x" is a key of its own).
func skipExport(body []byte, at int) int {
	const export = "export"
	after := at + len(export)
	if !bytes.HasPrefix(body[at:], []byte(export)) || after == len(body) || !isBlank(body[after]) {
		return at
	}
	if key := skipBlanks(body, after); key < len(body) && keyByte(body[key], false) {
		return key
	}
	return at
}

func keyByte(c byte, inside bool) bool {
	return c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || inside && c >= '0' && c <= '9'
}

// unquotedLength is where an unquoted value ends: before the blanks in front
// of a comment or of the line's end.
func unquotedLength(body []byte, blankBefore bool) int {
	end := len(body)
	for i, c := range body {
		if c == '#' && (i == 0 && blankBefore || i > 0 && isBlank(body[i-1])) {
			end = i
			break
		}
	}
	for end > 0 && isBlank(body[end-1]) {
		end--
	}
	return end
}

// closingQuote is the index of the quote that closes the one at open, -1: none.
func closingQuote(text []byte, open int, quote byte) int {
	for i := open + 1; i < len(text); i++ {
		switch {
		case text[i] == quote:
			return i
		case text[i] == '\\' && quote == '"':
			i++
		}
	}
	return -1
}

// endsCleanly reports whether only blanks and a comment follow.
func endsCleanly(body []byte, at int) bool {
	next := skipBlanks(body, at)
	return next == len(body) || body[next] == '#' && next > at
}

// holdsOurs reports whether one of the lines sets one of Session.
func holdsOurs(text []byte) bool {
	for l := range bytes.Lines(text) {
		at := skipExport(l, skipBlanks(l, 0))
		for _, key := range Session {
			if after, ok := bytes.CutPrefix(l[at:], []byte(key)); ok {
				if eq := skipBlanks(after, 0); eq < len(after) && after[eq] == '=' {
					return true
				}
			}
		}
	}
	return false
}

var escapes = strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\"`, `"`, `\\`, `\`)

func unescape(s string) string { return escapes.Replace(s) }

// foreignBytes says what has no place in a line.
func foreignBytes(body []byte) string {
	if !utf8.Valid(body) {
		return "it is not UTF-8"
	}
	for i, c := range body {
		if c < ' ' && c != '\t' && c != '\n' && (c != '\r' || i+1 == len(body) || body[i+1] != '\n') || c == 0x7f {
			return "it holds control characters"
		}
	}
	return ""
}

// With is the file with one key set: comments, order, the line's quoting, its
// "export", and the line ends stay as they are. The last line that holds the
// key is changed (it is the one that counts); without one, a line is added.
//
// A value is written bare when every known reader of such files takes it so
// ([A-Za-z0-9_./:+=@%-]), else in single quotes. What no form can hold for all
// of them is refused: a single quote, a line break, a control character, a
// backslash at the end.
func (e *File) With(key, value string) (*File, error) {
	if !validKey(key) {
		return nil, fmt.Errorf("%q is not a key: letters, digits and _ only", key)
	}
	if e.wide {
		return nil, errors.New("the file is UTF-16: save it as UTF-8")
	}
	if err := writable(value); err != nil {
		return nil, fmt.Errorf("value of %s: %w", key, err)
	}
	edited := &File{&content{mark: e.mark, lines: append([]line(nil), e.lines...)}}
	eol := e.eol()
	if old := edited.last(key); old != nil {
		old.raw = old.replaced(key, value, eol)
	} else {
		if n := len(edited.lines); n > 0 && !edited.lines[n-1].terminated() {
			edited.lines[n-1].raw = append(bytes.Clone(edited.lines[n-1].raw), eol...)
		}
		edited.lines = append(edited.lines, line{raw: []byte(key + "=" + rendered(value, 0) + eol)})
	}
	result := Parse(edited.Bytes())
	want := e.Values()
	want[key] = value
	if !maps.Equal(result.Values(), want) {
		return nil, fmt.Errorf("setting %s would change other keys: an unclosed quote stands in the file; close it first", key)
	}
	return result, nil
}

// replaced is the line with another value.
func (l *line) replaced(key, value, eol string) []byte {
	if l.terminated() {
		eol = string(l.raw[len(l.body()):])
	}
	if l.fault != "" || l.several {
		return []byte(key + "=" + rendered(value, 0) + eol)
	}
	body := l.body()
	raw := bytes.Clone(body[:l.from])
	raw = append(raw, rendered(value, l.quote)...)
	if tail := body[l.to:]; len(tail) > 0 && tail[0] == '#' {
		raw = append(append(raw, ' '), tail...) // "K= #c" had no value to keep the blank apart from
	} else {
		raw = append(raw, tail...)
	}
	return append(raw, eol...)
}

// rendered writes a value in the quotes that the line had, where it fits them.
func rendered(value string, quote byte) string {
	bare := strings.IndexFunc(value, func(r rune) bool { return !bareRune(r) }) < 0
	switch {
	case bare && quote == '"':
		return `"` + value + `"`
	case bare && quote == 0:
		return value
	default:
		return "'" + value + "'"
	}
}

func bareRune(r rune) bool {
	return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("_./:+=@%-", r)
}

func validKey(key string) bool {
	for i := range len(key) {
		if !keyByte(key[i], i > 0) {
			return false
		}
	}
	return key != ""
}

func writable(value string) error {
	switch {
	case !utf8.ValidString(value):
		return errors.New("it is not UTF-8")
	case strings.ContainsRune(value, '\''):
		return errors.New("it holds a single quote, which the readers of .env files do not agree on")
	case strings.HasSuffix(value, `\`):
		return errors.New("it ends with a backslash, which the readers of .env files do not agree on")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("it holds a line break or another control character")
	}
	return nil
}

// eol is the line end of the file: that of its first line, LF for none.
func (e *File) eol() string {
	if len(e.lines) > 0 && bytes.HasSuffix(e.lines[0].raw, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// Values are the good lines: of several with one key the last.
func (e *File) Values() map[string]string {
	values := make(map[string]string)
	for _, l := range e.lines {
		if l.key != "" && l.fault == "" {
			values[l.key] = l.value
		}
	}
	return values
}
