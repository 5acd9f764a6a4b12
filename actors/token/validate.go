package token

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"kitestring/actors/spare"
	"kitestring/actors/token/dotenv"
	"kitestring/messages"
)

// usualTokenLength is the length of every access token seen so far. Kite does
// not promise it, so another length is worth a warning, not a refusal.
const (
	usualTokenLength = 32
	maxTokenLength   = 512
)

// finding is what a file means.
type finding struct {
	apiKey      string
	token       messages.AccessToken // zero: the file holds none (yet)
	fromEnviron bool                 // the token is not the file's
	refusal     *refusal             // nil: the file can be used
	warnings    []string
}

// refusal says why a file cannot be used, in words for a person and without a value.
type refusal struct {
	line       int // 0: no single line is to blame
	reason     string
	unfinished bool // it can be used once the file has been still for a while
	process    bool // the file is not to blame: it could not even be opened
}

const outOfDescriptors = "the file cannot be read now, and nothing is wrong with it: this process, or the machine, has as many files and connections open as it may (too many open files); the last token stays in use and the file is tried again all the time. See who holds connections (kitestring_http_connections on /metrics, ls -l /proc/PID/fd) and raise the limit (LimitNOFILE in the unit, ulimit -n, fs.file-max)"

// examine judges a file's content. hadToken says that a token was known
// before: then a file without one is unfinished or damaged, and a stale one of
// the process environment must not step in. still says that the file has not
// changed for stillAfter: then a last line without a newline is whole.
func examine(e *dotenv.File, getenv func(string) string, hadToken, still bool) finding {
	if e.IsWide() {
		return finding{refusal: &refusal{line: 1, reason: dotenv.Wide}}
	}
	f := finding{warnings: contentWarnings(e, getenv)}
	for _, key := range dotenv.Session {
		r := checkLine(e, key)
		if r != nil && r.unfinished && still {
			f.warnings = append(f.warnings, fmt.Sprintf("line %d (%s) has no newline at its end; it is used because the file has not changed for %v: end it with a newline", r.line, key, stillAfter))
			r = nil
		}
		if f.refusal = r; r != nil {
			return f
		}
	}
	f.apiKey = either(e, getenv, KeyAPIKey)
	if f.apiKey == "" {
		f.refusal = &refusal{reason: KeyAPIKey + " is missing or empty: add the line " + KeyAPIKey + "=<your API key>"}
		return f
	}
	if why := badShape(f.apiKey); why != "" {
		f.refusal = &refusal{line: lineOf(e, KeyAPIKey), reason: KeyAPIKey + " " + why + ": copy it again from developers.kite.trade"}
		return f
	}
	value, held := e.Lookup(KeyAccessToken)
	if value == "" && hadToken {
		f.refusal = &refusal{line: lineOf(e, KeyAccessToken), reason: KeyAccessToken + " is gone from the file; the last one stays in use: log in, or put the line back"}
		return f
	}
	if !held {
		value = getenv(KeyAccessToken)
		f.fromEnviron = value != ""
	}
	if value == "" {
		f.warnings = append(f.warnings, "there is no "+KeyAccessToken+" yet: log in")
		return f
	}
	if why := badShape(value); why != "" {
		f.refusal = &refusal{line: lineOf(e, KeyAccessToken), reason: KeyAccessToken + " " + why + ": put the access token alone there, or log in"}
		return f
	}
	if len(value) != usualTokenLength {
		f.warnings = append(f.warnings, fmt.Sprintf("%s has %d characters, Kite's have %d: is it cut or a typo?", KeyAccessToken, len(value), usualTokenLength))
	}
	if f.fromEnviron {
		f.warnings = append(f.warnings, KeyAccessToken+" comes from the process environment, where it cannot be renewed: keep it in the file")
	}
	f.token = messages.NewAccessToken(value)
	return f
}

// judge says what a reading of the file means.
func judge(path string, r *reading, getenv func(string) string, hadToken, still bool) (*dotenv.File, finding) {
	switch {
	case errors.Is(r.err, fs.ErrNotExist):
		f := examine(dotenv.Parse(nil), getenv, hadToken, still)
		if f.refusal != nil {
			f.refusal = &refusal{reason: "the file does not exist: create it, or log in"}
		} else {
			f.warnings = append(f.warnings, "the file does not exist")
		}
		return dotenv.Parse(nil), f
	case errors.Is(r.err, fs.ErrPermission):
		return dotenv.Parse(nil), finding{refusal: &refusal{reason: "the file cannot be read (permission denied): give it to this user, or chmod 600 it"}}
	case spare.NoneLeft(r.err):
		return dotenv.Parse(nil), finding{refusal: &refusal{reason: outOfDescriptors, process: true}}
	case r.err != nil:
		return dotenv.Parse(nil), finding{refusal: &refusal{reason: fmt.Sprintf("the file cannot be read: %v", r.err)}}
	}
	env := dotenv.Parse(r.text)
	f := examine(env, getenv, hadToken, still)
	f.warnings = append(f.warnings, modeWarning(r.mode)...)
	if r.links == 0 || isMountPoint(path) {
		f.warnings = append(f.warnings, "the file is mounted by itself: replacing it from outside cannot be seen here, and cannot be done from here; mount its directory instead")
	}
	return env, f
}

// checkLine finds fault with the line that has the last word on a key.
func checkLine(e *dotenv.File, key string) *refusal {
	l, held := e.Last(key)
	switch {
	case !held:
		return nil
	case l.Fault != "":
		return &refusal{line: l.Number, reason: fmt.Sprintf("line %d (%s) cannot be used: %s; write %s=value", l.Number, key, l.Fault, key)}
	case l.Several:
		return &refusal{line: l.Number, reason: fmt.Sprintf("line %d (%s): the value spans lines; write it on one", l.Number, key)}
	case !l.Ended && key != KeyRedirectURL:
		return &refusal{l.Number, fmt.Sprintf("line %d (%s) has no newline at its end, so it may be half written: end it with a newline, or leave the file as it is for %v", l.Number, key, stillAfter), true, false}
	}
	return nil
}

// badShape says what is wrong with a value that has to travel in URLs and
// headers; "": nothing.
func badShape(value string) string {
	switch {
	case len(value) > maxTokenLength:
		return fmt.Sprintf("is longer than %d characters", maxTokenLength)
	case strings.Contains(value, "://"):
		return "is a URL"
	case strings.ContainsAny(value, " \t\r\n"):
		return "holds blanks"
	}
	for _, r := range value {
		if !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~+/=", r)) {
			return "holds a character that no such value has"
		}
	}
	return ""
}

// environName is how variables are named, and no token is.
var environName = regexp.MustCompile(`^[A-Z_]+$`)

// FromLine takes the access token out of a line that a person or a program
// gives: the token alone, in quotes, or as ZERODHA_ACCESS_TOKEN=token. Anything
// that cannot be one is refused; a length that Kite's tokens do not have, too,
// unless anyLength. The errors hold no value.
func FromLine(line string, anyLength bool) (messages.AccessToken, error) {
	none := messages.AccessToken{}
	value := strings.TrimSpace(line)
	if e := dotenv.Parse([]byte(value + "\n")); len(e.Lines()) == 1 && strings.Contains(value, "=") && environName.MatchString(e.Lines()[0].Key) {
		l := e.Lines()[0]
		if l.Key != KeyAccessToken {
			return none, fmt.Errorf("the input sets %s, not %s", l.Key, KeyAccessToken)
		}
		if l.Fault != "" {
			return none, fmt.Errorf("the input cannot be read: %s", l.Fault)
		}
		value = l.Value
	} else if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		value = value[1 : len(value)-1]
	}
	switch strings.ToLower(value) {
	case "":
		return none, errors.New("there is no token on standard input; for example: kitestring token set < token.txt")
	case "null", "none", "nil", "undefined", "nan", "false", "true":
		return none, fmt.Errorf("the input is the word %s, not a token: the program that should give it has none", strings.ToLower(value))
	}
	if why := badShape(value); why != "" {
		return none, fmt.Errorf("the input %s: an access token is needed, alone", why)
	}
	if len(value) != usualTokenLength && !anyLength {
		return none, fmt.Errorf("the input has %d characters, Kite's access tokens have %d: is it cut, or another token? --force writes it all the same", len(value), usualTokenLength)
	}
	return messages.NewAccessToken(value), nil
}

// contentWarnings lists what is odd but does no harm.
func contentWarnings(e *dotenv.File, getenv func(string) string) []string {
	var w []string
	if e.Marked() {
		w = append(w, "the file begins with a byte order mark, which many other readers reject: save it as plain UTF-8")
	}
	const most = 5
	shown := 0
	for _, f := range e.Faults() {
		if l, _ := e.Last(f.Key); f.Key != "" && slices.Contains(dotenv.Session[:], f.Key) && l.Number == f.Line {
			continue // that refuses the file
		}
		if shown++; shown > most {
			w = append(w, "more lines were skipped")
			break
		}
		w = append(w, fmt.Sprintf("line %d was skipped: %s", f.Line, f.Reason))
	}
	for _, key := range dotenv.Session {
		if n := e.Count(key); n > 1 {
			w = append(w, fmt.Sprintf("%s stands in the file %d times; the last one counts (line %d)", key, n, lineOf(e, key)))
		}
		if value, ok := e.Lookup(key); ok {
			if shadow := getenv(key); shadow != "" && shadow != value {
				w = append(w, key+" in the process environment differs from the file; the file is used: remove it from the environment")
			}
		}
	}
	return w
}

// either is the file's value of a key, or the environment's where the file
// does not hold the key.
func either(e *dotenv.File, getenv func(string) string, key string) string {
	if value, ok := e.Lookup(key); ok {
		return value
	}
	return getenv(key)
}

func lineOf(e *dotenv.File, key string) int {
	l, _ := e.Last(key)
	return l.Number
}

// Inspection is what one look at a file shows, for a person to read.
type Inspection struct {
	Exists     bool
	Mode       fs.FileMode
	Mounted    bool     // by itself: it can be overwritten but not replaced
	FileSystem string   // its kind, where the kernel does not report all changes; "": it does
	Line       int      // to blame for Refusal; 0: no single one
	Refusal    string   // why the file cannot be used, and what to do; "": it can
	Warnings   []string // what is odd but does no harm, of every kind
	Odd        []string // of these, about the text: lines that were skipped, repeated keys, ...
	Shadowed   []string // keys to which the process environment gives another value than the file, which wins
	Unwritable error    // why it could not be replaced; nil: it could
}

// Inspect looks at a file as the watcher would, and tries whether it could be
// replaced (by a temporary file next to it, which it removes). The file itself
// is not touched. getenv is the process environment; nil: empty.
func Inspect(path string, getenv func(string) string) Inspection {
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	r, _ := readOnce(path, openFile, lease)
	still := !r.held && time.Since(time.Unix(0, r.changed)) >= stillAfter
	env, f := judge(path, &r, getenv, false, still)
	i := Inspection{
		Exists: r.err == nil, Mode: r.mode, Mounted: isMountPoint(path), FileSystem: silentFileSystem(filepath.Dir(path)), Warnings: f.warnings,
	}
	if f.refusal != nil {
		i.Line, i.Refusal = f.refusal.line, f.refusal.reason
	}
	i.Odd = contentWarnings(env, func(string) string { return "" })
	for _, key := range dotenv.Session {
		if value, held := env.Lookup(key); held && getenv(key) != "" && getenv(key) != value {
			i.Shadowed = append(i.Shadowed, key)
		}
	}
	target, err := resolve(path)
	if err == nil {
		var tmp string
		if tmp, err = writeTemp(target, nil, nil); err == nil {
			err = os.Remove(tmp)
		}
	}
	if err != nil {
		i.Unwritable = explain(path, err)
	}
	return i
}
