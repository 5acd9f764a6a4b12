package dotenv

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/hashicorp/go-envparse"
	"github.com/joho/godotenv"
)

// TestGrammar goes through the published rules, and through every input on
// which the readers of such files disagree.
func TestGrammar(t *testing.T) {
	const absent = "(absent)"
	for _, c := range []struct {
		name, text, want string
		fault            string // part of the fault of some line; "": none
	}{
		{"plain", "K=abc\n", "abc", ""},
		{"export", "export K=abc\n", "abc", ""},
		{"export with tab", "export\tK=abc\n", "abc", ""},
		{"a key named export", "export=abc\nK=1\n", "1", ""},
		{"leading blanks", "  \tK=abc\n", "abc", ""},
		{"blanks round the equals sign", "K = abc\n", "abc", ""},
		{"trailing blanks", "K=abc \t \n", "abc", ""},
		{"comment", "K=abc # c\n", "abc", ""},
		{"comment after single quotes", "K='abc' # c\n", "abc", ""},
		{"comment after double quotes", "K=\"abc\" # c\n", "abc", ""},
		{"hash inside", "K=abc#c\n", "abc#c", ""},
		{"hash first", "K=#abc\n", "#abc", ""},
		{"hash after a blank", "K= #abc\n", "", ""},
		{"hash in quotes", "K='a # b'\n", "a # b", ""},
		{"inner blanks", "K=a b  c\n", "a b  c", ""},
		{"backslash n, bare", `K=a\nb` + "\n", `a\nb`, ""},
		{"backslash n, single", `K='a\nb'` + "\n", `a\nb`, ""},
		{"backslash n, double", `K="a\nb"` + "\n", "a\nb", ""},
		{"all escapes", `K="\n\r\t\"\\"` + "\n", "\n\r\t\"\\", ""},
		{"other escapes stand for themselves", `K="a\wb\$c"` + "\n", `a\wb\$c`, ""},
		{"escaped backslash before the quote", `K="a\\"` + "\n", `a\`, ""},
		{"CRLF", "K=abc\r\nL=1\r\n", "abc", ""},
		{"byte order mark", "\xef\xbb\xbfK=abc\n", "abc", ""},
		{"duplicate", "K=1\nK=2\n", "2", ""},
		{"dollar, bare", "K=ab$CD1x\n", "ab$CD1x", ""},
		{"dollar, double", "K=\"ab$CD1x\"\n", "ab$CD1x", ""},
		{"dollar, single", "K='ab$CD'\n", "ab$CD", ""},
		{"dollar, small letters", "K=ab$cd1\n", "ab$cd1", ""},
		{"dollar with braces", "K=a${HOME}b\n", "a${HOME}b", ""},
		{"command", "K=$(echo hi)\n", "$(echo hi)", ""},
		{"backticks", "K=`echo hi`\n", "`echo hi`", ""},
		{"quote inside", "K=a\"b'c\n", "a\"b'c", ""},
		{"empty", "K=\n", "", ""},
		{"empty quotes", "K=''\n", "", ""},
		{"junk before", "this is junk\nK=abc\n", "abc", `no "="`},
		{"binary junk before", "\x00\x01\nK=abc\n", "abc", "not KEY=value"},
		{"unclosed quote before", "J='abc\nK=1\n", "1", "quote is not closed"},
		{"unclosed double quote before", "J=\"abc\nK=1\n", "1", "quote is not closed"},
		{"unclosed quote before another pair", "J=\"abc\nK=\"1\"\n", "1", "quote is not closed"},
		{"unclosed quote", "K='abc\n", absent, "quote is not closed"},
		{"text after the quote", "K='abc'def\n", absent, "behind its closing quote"},
		{"comment glued to the quote", "K='abc'#c\n", absent, "behind its closing quote"},
		{"key alone", "K\n", absent, `no "="`},
		{"key and blank", "K abc\n", absent, `no "="`},
		{"colon", "K: abc\n", absent, `no "="`},
		{"no newline at the end", "K=abc12", "abc12", ""},
		{"half of CRLF at the end", "K=abc12\r", "abc12", ""},
		{"key with a dash", "K-X=1\nK=2\n", "2", `no "="`},
		{"key with a dot", "K.X=1\nK=2\n", "2", `no "="`},
		{"key begins with a digit", "1K=1\nK=2\n", "2", "not KEY=value"},
		{"no key", "=1\nK=2\n", "2", "not KEY=value"},
		{"not UTF-8", "K=\xff\xfe\n", absent, "not UTF-8"},
		{"control character", "K=a\x07b\n", absent, "control characters"},
		{"lone CR", "K=a\rb\n", absent, "control characters"},
		{"letters beyond ASCII", "K=नमस्ते\n", "नमस्ते", ""},
		{"several lines", "K=\"a\nb\"\nL=1\n", "a\nb", ""},
		{"several lines in single quotes", "K='a\nb' # c\nL=1\n", "a\nb", ""},
		{"blank lines and comments", "\n  # c\n\t\nK=abc\n", "abc", ""},
		{"a bad line after a good one", "K=abc\nK\n", "abc", `no "="`},
		{"empty file", "", absent, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Parse([]byte(c.text))
			got, ok := e.Lookup("K")
			if !ok {
				got = absent
			}
			if got != c.want {
				t.Errorf("K is %q, want %q", got, c.want)
			}
			var faults string
			for _, f := range e.Faults() {
				faults += f.Reason + "; "
			}
			if c.fault == "" && faults != "" || !strings.Contains(faults, c.fault) {
				t.Errorf("faults are %q, want %q", faults, c.fault)
			}
			if got := e.Bytes(); string(got) != c.text {
				t.Errorf("bytes are %q, want them unchanged", got)
			}
		})
	}
}

// TestUnclosedQuoteSparesOurKeys: a quote that somebody forgot to close must
// not swallow the token's line, even when a later line would close it.
func TestUnclosedQuoteSparesOurKeys(t *testing.T) {
	e := Parse([]byte("PASSWORD=\"abc\nZERODHA_ACCESS_TOKEN=xyz\nOTHER=\"\n"))
	if got, _ := e.Lookup(KeyAccessToken); got != "xyz" {
		t.Errorf("token is %q, want xyz; faults %v", got, e.Faults())
	}
}

func TestLineNumbers(t *testing.T) {
	e := Parse([]byte("A=1\nB=\"x\ny\"\nbad line\nC=3"))
	f := e.Faults()
	if len(f) != 1 || f[0].Line != 4 {
		t.Fatalf("faults are %v, want one in line 4", f)
	}
	if l := e.last("C"); l.number != 5 || l.terminated() {
		t.Errorf("C stands in line %d, terminated %v; want 5, false", l.number, l.terminated())
	}
}

func TestEnvNeverPrints(t *testing.T) {
	e := Parse([]byte("K=canary\n"))
	holder := struct{ e *File }{e}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if out := fmt.Sprintf(verb+verb, e, holder); strings.Contains(out, "canary") || strings.Contains(out, fmt.Sprintf("%x", "canary")) {
			t.Errorf("%s prints the content: %s", verb, out)
		}
	}
}

func TestWith(t *testing.T) {
	for _, c := range []struct{ name, before, value, after string }{
		{"plain", "A=1\nK=old\nB=2\n", "new", "A=1\nK=new\nB=2\n"},
		{"added", "A=1\n", "new", "A=1\nK=new\n"},
		{"added to nothing", "", "new", "K=new\n"},
		{"added after a line without end", "A=1", "new", "A=1\nK=new\n"},
		{"added to CRLF", "A=1\r\nB=2", "new", "A=1\r\nB=2\r\nK=new\r\n"},
		{"comment kept", "K=old  # why\n", "new", "K=new  # why\n"},
		{"comment of an empty value kept", "K= # why\n", "new", "K= new # why\n"},
		{"glued comment kept apart", "K= #why\n", "new", "K= new #why\n"},
		{"single quotes kept", "K='old' # why\n", "new", "K='new' # why\n"},
		{"double quotes kept", "K=\"old\"\n", "new", "K=\"new\"\n"},
		{"double quotes give way to a dollar", "K=\"old\"\n", "a$B", "K='a$B'\n"},
		{"quoted where bare will not do", "K=old\n", "a b#c", "K='a b#c'\n"},
		{"export and blanks kept", "  export K = old\n", "new", "  export K = new\n"},
		{"CRLF kept", "A=1\r\nK=old\r\n", "new", "A=1\r\nK=new\r\n"},
		{"mixed line ends kept", "A=1\nK=old\r\nB=2\n", "new", "A=1\nK=new\r\nB=2\n"},
		{"byte order mark kept", "\xef\xbb\xbfK=old\n", "new", "\xef\xbb\xbfK=new\n"},
		{"line end added to ours only", "A=1\nK=old", "new", "A=1\nK=new\n"},
		{"the last duplicate counts", "K=1\nK=2\n", "new", "K=1\nK=new\n"},
		{"a bad line of the key is mended", "K=1\nK\n", "new", "K=1\nK=new\n"},
		{"an unclosed quote of the key is mended", "K='old\nA=1\n", "new", "K=new\nA=1\n"},
		{"a value over several lines is replaced", "K=\"a\nb\"\nA=1\n", "new", "K=new\nA=1\n"},
		{"junk kept", "what is this\nK=old\n\n# end", "new", "what is this\nK=new\n\n# end"},
		{"emptied", "K=old # c\n", "", "K= # c\n"},
		{"a token with URL characters", "K=old\n", "a+b/c=", "K=a+b/c=\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Parse([]byte(c.before)).With("K", c.value)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(e.Bytes()); got != c.after {
				t.Errorf("got %q, want %q", got, c.after)
			}
		})
	}
}

func TestWithRefuses(t *testing.T) {
	for _, c := range []struct{ name, key, value, want string }{
		{"single quote", "K", "it's", "single quote"},
		{"line break", "K", "a\nb", "line break"},
		{"control character", "K", "a\x00b", "control"},
		{"backslash at the end", "K", `a\`, "backslash"},
		{"not UTF-8", "K", "\xff", "UTF-8"},
		{"bad key", "K-K", "1", "not a key"},
		{"no key", "", "1", "not a key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte("A=1\n")).With(c.key, c.value)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one about %q", err, c.want)
			}
			if c.value != "1" && err != nil && strings.Contains(err.Error(), c.value) {
				t.Errorf("error %q repeats the value", err)
			}
		})
	}
}

// FuzzEnv: no input is changed by reading it, setting a key changes nothing
// else, and on the subset that needs no interpretation we agree with the two
// common Go readers.
func FuzzEnv(f *testing.F) {
	for _, seed := range []string{
		"", "K=abc\n", "export K='a b' # c\r\n", "\xef\xbb\xbfK=1\nK=2", "J=\"a\nK=\"b\"\n", "K=\"\\n\\\\\"\n#c\n\n=\n",
		"A=1\nB = two words \nC=\"x=y\"\nD='$HOME'\n", "K='abc\nL=\"\\\"\nM=`x`\n", "K=a\rb\n\x00\n", "ZERODHA_ACCESS_TOKEN\nK=1",
	} {
		f.Add([]byte(seed), "new value")
	}
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		e := Parse(text)
		if !bytes.Equal(e.Bytes(), text) {
			t.Fatalf("%q came back as %q", text, e.Bytes())
		}
		if edited, err := e.With("K", value); err == nil {
			want := e.Values()
			want["K"] = value
			if got := Parse(edited.Bytes()).Values(); !maps.Equal(got, want) {
				t.Fatalf("after setting K in %q: %q, want %q", text, got, want)
			}
		}
		if !literal(text) {
			return
		}
		ours := e.Values()
		theirs, err := godotenv.UnmarshalBytes(text)
		if err != nil || !maps.Equal(ours, theirs) {
			t.Fatalf("%q: godotenv reads %q (%v), we %q", text, theirs, err, ours)
		}
		theirs, err = envparse.Parse(bytes.NewReader(text))
		if err != nil || !maps.Equal(ours, theirs) {
			t.Fatalf("%q: envparse reads %q (%v), we %q", text, theirs, err, ours)
		}
	})
}

// FuzzAgreement makes its files of lines that every reader takes for the same,
// so that the comparison is not left to luck.
func FuzzAgreement(f *testing.F) {
	f.Add("K", "abc", uint8(0), "L", "a b", uint8(1))
	f.Add("ZERODHA_API_KEY", "x/y+z=", uint8(2), "B", "", uint8(7))
	f.Fuzz(func(t *testing.T, k1, v1 string, s1 uint8, k2, v2 string, s2 uint8) {
		text := []byte(styled(k1, v1, s1) + styled(k2, v2, s2))
		if !literal(text) {
			return
		}
		ours := Parse(text).Values()
		theirs, err := godotenv.UnmarshalBytes(text)
		if err != nil || !maps.Equal(ours, theirs) {
			t.Fatalf("%q: godotenv reads %q (%v), we %q", text, theirs, err, ours)
		}
		theirs, err = envparse.Parse(bytes.NewReader(text))
		if err != nil || !maps.Equal(ours, theirs) {
			t.Fatalf("%q: envparse reads %q (%v), we %q", text, theirs, err, ours)
		}
	})
}

func styled(key, value string, style uint8) string {
	quote := [...]string{"", "'", `"`, ""}[style&3]
	prefix := [...]string{"", "export "}[style>>2&1]
	comment := [...]string{"", " # comment"}[style>>3&1]
	eol := [...]string{"\n", "\r\n"}[style>>4&1]
	return prefix + key + "=" + quote + value + quote + comment + eol
}

// literal reports whether a file holds nothing on which readers are known to
// differ: comments only after a quoted or plain value, no $, no backslash, no
// quotes inside values, no bad lines, no values over several lines.
func literal(text []byte) bool {
	e := Parse(text)
	if e.mark || len(e.Faults()) > 0 {
		return false
	}
	for _, l := range e.lines {
		if l.several || !l.terminated() {
			return false
		}
		body := l.body()
		for _, c := range body {
			if c >= 0x7f || c < ' ' {
				return false
			}
		}
		if l.key == "" {
			continue
		}
		if strings.ContainsAny(l.value, "$\\'\"#") || len(body) > l.to && body[l.to] == '#' || bytes.ContainsAny(body[l.to:], `'"`) {
			return false
		}
		if bytes.Count(body[l.to:], []byte("#")) > 1 || len(l.value) == 0 && l.quote == 0 && bytes.Contains(body, []byte("#")) {
			return false
		}
		if l.value != strings.TrimSpace(l.value) {
			return false
		}
		if start := strings.TrimLeft(string(body), " "); !strings.HasPrefix(strings.TrimPrefix(start, "export "), l.key) || strings.HasPrefix(l.key, "export") {
			return false // envparse wants exactly one blank after export
		}
	}
	return true
}
