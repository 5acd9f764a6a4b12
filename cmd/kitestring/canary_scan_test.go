package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kitestring/actors"
	"kitestring/messages"
	"kitestring/supervisor"
	"kitestring/supervisor/tree"
)

// canaries are values that no output may hold, by what they are.
type canaries struct {
	mu   sync.Mutex
	list []canary
}

type canary struct{ name, value string }

func (c *canaries) add(name, value string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value != "" && !slices.ContainsFunc(c.list, func(o canary) bool { return o.value == value }) {
		c.list = append(c.list, canary{name, value})
	}
	return value
}

// fresh makes one of n letters and digits.
func (c *canaries) fresh(name string, n int) string { return c.add(name, word(n)) }

func word(n int) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := make([]byte, n)
	for i := range text {
		text[i] = alphabet[rand.IntN(len(alphabet))]
	}
	return string(text)
}

// form is one way in which a value may stand in an output.
type form struct {
	name   string
	needle []byte
}

// long is the length from which the two ends of a value are looked for as
// well: a prefix "for debugging" is a leak, and eight characters by chance are
// not to be expected.
const long = 24

func formsOf(value string) []form {
	quoted, _ := json.Marshal(value)
	list := []form{
		{"plain", []byte(value)},
		{"escaped for a query", []byte(url.QueryEscape(value))},
		{"escaped for a path", []byte(url.PathEscape(value))},
		{"JSON", quoted[1 : len(quoted)-1]},
		{"hex", []byte(hex.EncodeToString([]byte(value)))},
		{"HEX", []byte(strings.ToUpper(hex.EncodeToString([]byte(value))))},
		{"spaced hex", fmt.Appendf(nil, "% x", value)},
		{"decimal bytes", bytes.Trim(fmt.Append(nil, []byte(value)), "[]")},
		{"Go bytes", bytes.TrimSuffix(bytes.TrimPrefix(fmt.Appendf(nil, "%#v", []byte(value)), []byte("[]byte{")), []byte("}"))},
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		// Within a longer text the letters depend on where the value begins;
		// those at its ends depend on the neighbours too.
		for before := range 3 {
			text := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + value))
			from, to := (before*8+5)/6, (before+len(value))*8/6
			list = append(list, form{"base64", []byte(text[from:to])})
		}
	}
	if len(value) >= long {
		list = append(list, form{"its beginning", []byte(value[:8])}, form{"its end", []byte(value[len(value)-8:])})
	}
	return list
}

// leaks names what stands in an output. The values themselves are not reported.
// It goes through the output once: a table of three-byte beginnings tells
// where a closer look is worth it. One goroutine goes through megabytes, which the
// race detector would make half a minute's work.
//
//go:norace
func (c *canaries) leaks(output []byte) (found []string) {
	type needle struct {
		canary
		form
	}
	c.mu.Lock()
	begins := map[uint32][]needle{}
	worth := make([]bool, 1<<24)
	for _, one := range c.list {
		for _, f := range formsOf(one.value) {
			at := threeBytes(f.needle)
			begins[at], worth[at] = append(begins[at], needle{one, f}), true
		}
	}
	c.mu.Unlock()
	reported := map[string]bool{}
	for i := range max(0, len(output)-2) {
		at := threeBytes(output[i:])
		if !worth[at] {
			continue
		}
		for _, n := range begins[at] {
			if !reported[n.value] && bytes.HasPrefix(output[i:], n.needle) {
				reported[n.value] = true
				found = append(found, fmt.Sprintf("the %s (%s) after %q", n.canary.name, n.form.name, output[max(0, i-80):i]))
			}
		}
	}
	return found
}

func threeBytes(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// A scanner that finds nothing proves nothing: each form of each embedded value
// is found, within other text, and nothing else is.
func TestTheScannerFindsWhatIsPlanted(t *testing.T) {
	for name, value := range map[string]string{
		"a token": word(32), "a short secret": tree.SimAPISecret, "a secret that is escaped": "p/l+a=n t\"é" + word(6),
	} {
		var c canaries
		c.add("secret", value)
		for form, embedded := range map[string]string{
			"plain": value, "query": "?access_token=" + url.QueryEscape(value) + "&x", "path": "/bot" + url.PathEscape(value) + "/send",
			"json": `{"x":` + string(must(json.Marshal(value))) + `}`, "%q": fmt.Sprintf("%q", value),
			"hex": fmt.Sprintf("%x", value), "HEX": fmt.Sprintf("%X", value), "% x": fmt.Sprintf("% x", value),
			"%v of bytes": fmt.Sprint([]byte("<" + value + ">")), "%#v of bytes": fmt.Sprintf("%#v", []byte("<"+value+">")),
			"JSON of bytes": string(must(json.Marshal([]byte("token " + value)))), "a Basic header": base64.StdEncoding.EncodeToString([]byte("key:" + value)),
			"base64url": base64.URLEncoding.EncodeToString([]byte("kk" + value + "z")), "a struct": fmt.Sprintf("%#v", struct{ s string }{value}),
		} {
			output := []byte(word(500) + " " + embedded + " " + word(500))
			if len(c.leaks(output)) != 1 {
				t.Errorf("%s: not found as %s in %q", name, form, embedded)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Error("dial failed", "error", fmt.Errorf("get: %w", &url.Error{Op: "Get", URL: "ws://x/?access_token=" + url.QueryEscape(value), Err: errors.New("refused")}))
		if len(c.leaks(log.Bytes())) != 1 {
			t.Errorf("%s: not found in a line of the log", name)
		}
		sum := sha256.Sum256([]byte(value))
		if found := c.leaks([]byte(word(2000) + messages.NewSecret(value).String() + hex.EncodeToString(sum[:]))); len(found) != 0 {
			t.Errorf("%s: found where it is not: %s", name, found)
		}
	}
	var c canaries
	value := c.fresh("token", 32)
	for _, part := range []string{value[:8], value[24:]} {
		if len(c.leaks([]byte("token "+part+"..."))) != 1 {
			t.Error("a part of a token is not found")
		}
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// careless holds secrets in every way that a program may, and prints them in
// its failures.
type careless struct {
	self    actors.Self
	session messages.Session
	hidden  messages.AccessToken // unexported: fmt calls no method on it
	list    []messages.Session
	byName  map[string]any
}

func (c *careless) Receive(msg any) {
	if fail, ok := msg.(func(*careless)); ok {
		fail(c)
	}
}

// A panic whose value holds a session, and every other careless way to print
// one: no secret in the log at any level, in the tree, or in what is kept of
// the failure.
func TestCarelessFailuresHoldNoSecret(t *testing.T) {
	var c canaries
	session := messages.Session{Generation: 7, APIKey: "key", Token: messages.NewAccessToken(c.fresh("token", 32))}
	secret := messages.NewSecret(c.fresh("secret", 32))
	careful := func(self actors.Self) actors.Actor {
		return &careless{
			self: self, session: session, hidden: session.Token, list: []messages.Session{session},
			byName: map[string]any{"session": session, "pointer": &session, "secret": secret},
		}
	}
	var text, asJSON safeBuffer
	debug := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	log := slog.New(slog.NewMultiHandler(slog.NewTextHandler(&text, debug), slog.NewJSONHandler(&asJSON, debug)))
	tree := supervisor.New(supervisor.Options{Logger: log})
	if err := tree.Start(t.Context(), supervisor.Spec{Name: "root", Group: supervisor.Intensity{Restarts: 100, Period: time.Second}, Children: []supervisor.Spec{{
		Name: "careless", Produce: careful, Backoff: supervisor.Backoff{Base: 10 * time.Millisecond, Cap: 10 * time.Millisecond},
		Intensity: supervisor.Intensity{Restarts: 100, Period: time.Second},
	}}}); err != nil {
		t.Fatal(err)
	}
	fails := []func(*careless){
		func(c *careless) { panic(c) },
		func(c *careless) { panic(*c) },
		func(c *careless) { panic(c.session) },
		func(c *careless) { panic(&c.session) },
		func(c *careless) { panic(c.hidden) },
		func(c *careless) { panic(c.list) },
		func(c *careless) {
			panic(fmt.Sprintf("%+v %#v %v %s %q %x %d", *c, *c, *c, c.hidden, c.hidden, c.hidden, c.hidden))
		},
		func(c *careless) { panic(fmt.Errorf("with %+v: %w", c.byName, fmt.Errorf("%#v", c.list))) },
		func(c *careless) { c.self.Fail(fmt.Errorf("session %v", c.session)) },
		func(c *careless) { c.self.Go("task", func(context.Context) error { panic(c.byName) }) },
		func(c *careless) {
			c.self.Go("task", func(context.Context) error { return fmt.Errorf("%#v", c.byName) })
		},
		func(c *careless) {
			c.self.Log().Error("careless", "session", c.session, "hidden", c.hidden, "all", *c, "list", c.list, "map", c.byName, "pointer", &c.session,
				slog.Group("group", "token", c.hidden), "error", fmt.Errorf("%+v", c.session))
			panic("end")
		},
	}
	var kept bytes.Buffer
	for i, fail := range fails {
		eventually(t, time.Minute, "the careless actor runs", func() (bool, string) {
			snap := tree.Snapshot()
			a := snap.Actors[len(snap.Actors)-1]
			fmt.Fprintf(&kept, "%+v\n%#v\n", snap, snap)
			return a.State == supervisor.Running && a.Epoch > uint64(i), fmt.Sprintf("%+v", a)
		})
		tree.Engine().Send(supervisor.PIDOf("careless"), fail)
	}
	eventually(t, time.Minute, "all failures are reported", func() (bool, string) {
		snap := tree.Snapshot()
		fmt.Fprintf(&kept, "%+v\n", snap)
		return snap.Actors[len(snap.Actors)-1].Epoch > uint64(len(fails)), ""
	})
	if err := tree.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	outputs := map[string]string{"text log": text.String(), "JSON log": asJSON.String(), "snapshots": kept.String(), "goroutines": stacks()}
	for name, output := range outputs {
		for _, leak := range c.leaks([]byte(output)) {
			t.Errorf("%s: %s", name, leak)
		}
	}
	// The failures were reported, with what may be reported of a token.
	if n := strings.Count(outputs["text log"], session.Token.Fingerprint()); n < len(fails)/2 {
		t.Errorf("the log tells of %d fingerprints only:\n%s", n, outputs["text log"])
	}
}
