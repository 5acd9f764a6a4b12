package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"kitestring/supervisor/tree"
)

// tones counts the sounds of the page; a browser of a test has no speaker.
const tones = `window.tones = 0, window.AudioContext = class {
	currentTime = 0; destination = {};
	resume() { return Promise.resolve(); }
	createOscillator() { return { frequency: {}, connect: (to) => to, start: () => window.tones++, stop() {} }; }
	createGain() { return { gain: { setValueAtTime() {}, exponentialRampToValueAtTime() {} }, connect: (to) => to }; }
}`

// The sound is off until a person wants it, is remembered, and calls when the
// server dies.
func TestAlarmSounds(t *testing.T) {
	server := startServer(t)
	server.live()
	b := openTab(t, browser(t), server.URL())
	b.await(soon, ".hero .word", "Live")
	sounds := func(what string, n int) {
		t.Helper()
		b.holds(what, fmt.Sprintf("window.tones === %d", n))
	}
	b.do("sounds", chromedp.Evaluate[chromedp.Void](tones))
	b.click(`header button[aria-label="Alarms: off"]`)
	b.holds("nothing is tried while it is off", `document.querySelector("dialog[open] form button").disabled`)
	b.click("#alarm-sound")
	sounds("it sounds when it is switched on", 2)
	b.click("dialog[open] form button:first-child")
	sounds("a trial sounds", 4)
	b.click("dialog[open] form button:last-child")
	b.do("load again", chromedp.Navigate(server.URL()))
	b.await(soon, ".hero .word", "Live")
	b.holds("the browser remembers it", `document.querySelector('header button[aria-label="Alarms: on"]') !== null`)
	b.do("sounds", chromedp.Evaluate[chromedp.Void](tones))
	server.stop()
	b.await(2*soon, "title", "Server gone")
	sounds("the end of the server sounds once", 2)
	b.clean("Failed to load resource") // the browser itself logs that the server was gone
}

// The button of the page sends a test over every channel, and says what came of it.
func TestAlertsTestButton(t *testing.T) {
	got := make(chan string, 10)
	broken := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
		select {
		case <-broken:
			w.WriteHeader(http.StatusForbidden)
		default:
		}
	}))
	defer hook.Close()
	server := startServer(t, func(c *tree.Config) {
		if err := os.WriteFile(c.EnvFile, []byte("WEBHOOK_URL="+hook.URL+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	server.live()
	b := openTab(t, browser(t), server.URL())
	b.await(soon, ".hero .word", "Live")
	b.click(`header button[aria-label="Alarms: off"]`)
	b.await(soon, "dialog[open]", "Sent by the server[\\s\\S]*To webhook")
	b.click("dialog[open] section button")
	b.await(2*soon, "dialog[open] [role=status]", `It arrived: webhook\.`)
	select {
	case body := <-got:
		t.Log(body)
	default:
		t.Error("the webhook got nothing")
	}
	close(broken)
	b.click("dialog[open] section button")
	b.await(2*soon, "dialog[open] [role=status]", `webhook: .*403`)
	b.clean()
}
