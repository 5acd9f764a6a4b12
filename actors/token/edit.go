package token

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"
)

// With is the file with one key set: comments, order, the line's quoting, its
// "export", and the line ends stay as they are. The last line that holds the
// key is changed (it is the one that counts); without one, a line is added.
//
// A value is written bare when every known reader of such files takes it so
// ([A-Za-z0-9_./:+=@%-]), else in single quotes. What no form can hold for all
// of them is refused: a single quote, a line break, a control character, a
// backslash at the end.
func (e *Env) With(key, value string) (*Env, error) {
	if !validKey(key) {
		return nil, fmt.Errorf("%q is not a key: letters, digits and _ only", key)
	}
	if e.wide {
		return nil, errors.New("the file is UTF-16: save it as UTF-8")
	}
	if err := writable(value); err != nil {
		return nil, fmt.Errorf("value of %s: %w", key, err)
	}
	edited := &Env{&content{mark: e.mark, lines: append([]line(nil), e.lines...)}}
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
	want := e.values()
	want[key] = value
	if !maps.Equal(result.values(), want) {
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
func (e *Env) eol() string {
	if len(e.lines) > 0 && bytes.HasSuffix(e.lines[0].raw, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

func (e *Env) values() map[string]string {
	values := make(map[string]string)
	for _, l := range e.lines {
		if l.key != "" && l.fault == "" {
			values[l.key] = l.value
		}
	}
	return values
}
