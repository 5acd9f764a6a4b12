package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// soon is how long a test waits for what the page has to show within a second:
// on a busy machine, with the race detector, a browser is many times slower.
const soon = 20 * time.Second

// shown is the bar of that second, with slack for a busy machine and the race
// detector.
const shown = 5 * time.Second

// order is the first screen's: the first question first.
var order = []string{".hero", "#card-outlook", "#card-chart", "#card-chain", "#events-title"}

func TestFirstScreen(t *testing.T) {
	server := startServer(t)
	server.live()
	// What a page of a few bytes takes shows how busy the machine is.
	bare := eval[float64](openTab(t, browser(t), server.URL()+"healthz"), `performance.getEntriesByType("navigation")[0].duration`)
	b := openTab(t, browser(t), "about:blank")
	b.host = server.Addr()
	b.do("open", chromedp.Navigate(server.URL()))
	// Counted by the page's own clock, from the moment it was asked for.
	took := eval[float64](b, `new Promise((done) => {
		const timer = setInterval(() => {
			if (/Live/.test(document.querySelector(".hero .word")?.innerText ?? "") && /\d\d\.\d\d/.test(document.querySelector(".quotes")?.innerText ?? "")) {
				clearInterval(timer);
				done(performance.now());
			}
		}, 5);
	})`)
	t.Logf("first data after %.0f ms, a page of a few bytes after %.0f ms", took, bare)
	if took > float64(shown/time.Millisecond) {
		t.Errorf("the first data stood there after %.0f ms, want 1 s (a page of a few bytes: %.0f ms)", took, bare)
	}
	b.await(soon, ".hero .sentence", `Data is live: \d+ ticks/s from \d+ instruments`)
	b.await(soon, "title", "Live")
	b.await(soon, ".badge", "SIM")
	b.await(soon, "#card-outlook", `Outlook[\s\S]*confidence[\s\S]*8 inputs[\s\S]*Why[\s\S]*volume pulse`)
	b.await(soon, ".legend", `O .* H .* L .* C `)
	b.holds("the favicon shows that data is live", `document.querySelector("link[rel=icon]").getAttribute("href") === "/assets/live.svg"`)
	b.look(390, "light") // where the places are the order
	tops := eval[[]float64](b, fmt.Sprintf(`[%s].map((s) => { return document.querySelector(s).getBoundingClientRect().top; })`, `"`+strings.Join(order, `","`)+`"`))
	for i := 1; i < len(tops); i++ {
		if tops[i] <= tops[i-1] {
			t.Errorf("%s comes before %s", order[i], order[i-1])
		}
	}
	if tall := eval[float64](b, `document.documentElement.scrollHeight`); tall > 2600 {
		t.Errorf("the first page of a phone is %.0f px long", tall)
	}
	b.look(1280, "light")
	// The canvas is painted: the chart's own elements are there, with a size.
	b.holds("a chart is drawn", `[...document.querySelectorAll(".canvas canvas")].some((c) => c.width > 300 && c.height > 100)`)
	b.holds("invented prices have a colour of their own", `document.documentElement.dataset.profile === "sim" && /invented/.test(document.querySelector(".unreal").innerText)`)
	b.keepView("first-screen", 1280, 1010)

	f := b.measure(1, 2*time.Second)
	t.Logf("the page uses %.1f %% of a processor; %d frames in 2 s, the longest task takes %.1f ms of it", 100*f.Busy, f.Frames, f.Longest)
	if f.Busy > 0.25 { // a phone is four times slower; BenchmarkFrames measures it
		t.Errorf("the page uses %.0f %% of a processor to stay up to date", 100*f.Busy)
	}
	if f.Longest*phone > 200 { // 50 ms, with slack for a machine whose caches others use
		t.Errorf("a task of the page takes a phone %.0f ms", f.Longest*phone)
	}
	chainPage(b)
	analysesPage(b)

	// The server itself: a line each while all is well.
	b.chord("g", "a")
	b.await(soon, "#card-token", `Valid[\s\S]*gen 1, till about \w+ \d+ \w+ \d\d:\d\d, all services use it$`)
	b.await(soon, "#card-feed", `Streaming[\s\S]*\d+ ticks/s, \d+ instruments on 1 socket$`)
	b.await(soon, "#card-rotation", `gen 1 adopted[\s\S]*ms total, no ticks lost, [^\n]* ago$`)
	b.await(soon, "#card-restarts", `\d+ of \d+ run[\s\S]*0 restarts since the start$`)
	b.unfolded("#card-token", `ago[\s\S]*Log in`)
	b.unfolded("#card-feed", `last tick[\s\S]*under 1 s ago[\s\S]*last gap`)
	b.unfolded("#card-rotation", `file changed[\s\S]*detected[\s\S]*validated[\s\S]*dialled[\s\S]*first frame[\s\S]*first tick[\s\S]*old closed`)
	b.unfolded("#card-restarts", `No actor has failed`)
	b.await(soon, ".tree", `root[\s\S]*core[\s\S]*feed[\s\S]*gen 1[\s\S]*outlook`)
	b.clean()
}

// chainPage visits the option chain.
func chainPage(b *tab) {
	b.t.Helper()
	b.chord("g", "c")
	b.await(soon, "#chain-title", `^NIFTY of \w+ \d+ \w+$`)
	b.await(soon, ".chain-page", `PCR\s+\d+\.\d\d\s+Max pain\s+[\d,]+[\s\S]*ATM straddle\s+\d+[\s\S]*newest packet|newest packet[\s\S]*PCR\s+\d`)
	b.holds("21 strikes stand round the money, whose row is marked", `document.querySelectorAll(".chain tbody tr").length === 21 && document.querySelectorAll(".chain tr.atm").length === 1`)
	b.holds("each strike has its bars", `document.querySelectorAll(".strikes .calls .kept").length === 21 && document.querySelectorAll(".strikes .puts .kept").length === 21`)
	b.await(soon, ".daylines", `Put/call ratio\s+\d\.\d\d[\s\S]*ATM straddle\s+[\d,]+\.\d\d`)
	b.keep("chain")
	b.click(`[aria-label=Strikes] button:last-child`)
	b.holds("all strikes can be seen", `document.querySelectorAll(".chain tbody tr").length > 30`)
	first := b.text("#chain-title")
	b.click(`[aria-label=Expiry] button:nth-child(2)`)
	b.holds("the next expiry can be chosen", fmt.Sprintf(`document.querySelector("#chain-title").innerText !== %q && document.querySelectorAll(".chain tbody tr").length > 30`, first))
	b.await(soon, ".chain-page", "of the nearest expiry")
	b.click(`[aria-label=Expiry] button:first-child`)
	b.click(`[aria-label=Strikes] button:first-child`)
	b.await(soon, "#chain-title", regexp.QuoteMeta(first))
}

// analysesPage visits the readings: each has its picture and a sentence.
func analysesPage(b *tab) {
	b.t.Helper()
	b.chord("g", "n")
	for kind, says := range map[string]string{
		"outlook":       `For up:|Nothing speaks for up`,
		"instant":       `Entry near [\d,.]+, stop|No trade at`,
		"trend_base":    `Last swing high [\d,.]+, last swing low`,
		"zone_control":  `upport`,
		"volume_pulse":  `% of the future's volume was on rising bars`,
		"candle_intent": `Last bar of the future: `,
		"pcr":           `puts are open for each call`,
	} {
		b.await(soon, `section[aria-labelledby="reading-`+kind+`"] .saying`, says)
	}
	for kind, picture := range map[string]string{"trend_base": ".candle", "zone_control": ".candle", "volume_pulse": "rect", "candle_intent": ".candle", "instant": ".checks li", "pcr": "rect"} {
		b.holds("the picture of "+kind, fmt.Sprintf("document.querySelectorAll(`section[aria-labelledby=\"reading-%s\"] :is(.picture, .checks)%s`).length > 0", kind, strings.TrimPrefix(" "+picture, " .checks")))
	}
	b.holds("the details say what a figure is", `((d) => (d.open = true, d.querySelectorAll("dd.help").length > 3))(document.querySelector("section[aria-labelledby=reading-volume_pulse] details.more:last-of-type"))`)
	b.holds("the strip of the session is drawn", `document.querySelectorAll(".strip svg rect").length > 8`)
	b.keep("analyses")
}

func TestScriptIsSmall(t *testing.T) {
	files, err := filepath.Glob("../../../actors/web/dist/*.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("no script in dist: %v", err)
	}
	total := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var zipped bytes.Buffer
		z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		_, _ = z.Write(data)
		_ = z.Close()
		total += zipped.Len()
	}
	t.Logf("%d bytes of script, zipped", total)
	if total > 110_000 {
		t.Errorf("%d bytes of script, zipped; want at most 110000", total)
	}
	// What is startServer is that, zipped.
	server := startServer(t)
	server.live()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL()+"assets/app.js", nil)
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Content-Encoding") != "gzip" || len(body) > 110_000 {
		t.Errorf("startServer: %d bytes, encoding %q (%v)", len(body), resp.Header.Get("Content-Encoding"), err)
	}
	tag := resp.Header.Get("ETag")
	req.Header.Set("If-None-Match", tag)
	again, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	again.Body.Close()
	if tag == "" || again.StatusCode != http.StatusNotModified {
		t.Errorf("an unchanged script is sent again: %s with tag %q", again.Status, tag)
	}
}

// cutOff finds what is wider than the window and is in no region of its own
// that scrolls, tables that are in none, and on a wide screen those that have to.
const cutOff = `(() => {
	const found = [];
	const wide = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth > wide) found.push("the page scrolls sideways: " + document.documentElement.scrollWidth);
	for (const e of document.querySelectorAll("main *, header *, footer *")) {
		if (e.closest(".wide table, .canvas, .visually-hidden, svg")) continue;
		const r = e.getBoundingClientRect();
		if (r.width > 0 && (r.right > wide + 1 || r.left < -1)) found.push(e.tagName + "." + e.className + " reaches " + Math.round(r.left) + " to " + Math.round(r.right));
	}
	for (const table of document.querySelectorAll("main table")) {
		if (table.closest(".canvas")) continue;
		const region = table.closest(".wide");
		if (!region || getComputedStyle(region).overflowX !== "auto" || region.tabIndex !== 0) found.push("a table without a region that scrolls");
		else if (wide > 1180 && region.scrollWidth > region.clientWidth + 1) found.push("a table has columns that a wide screen does not show: " + region.scrollWidth + " of " + region.clientWidth);
	}
	for (const e of document.querySelectorAll(".card")) {
		if (e.scrollWidth > e.clientWidth + 1) found.push("a card is too narrow: " + e.getAttribute("aria-labelledby"));
	}
	return found;
})()`

// unfold opens what is folded; oldAges writes the longest age everywhere.
const (
	unfold  = `document.querySelectorAll("main details").forEach((d) => (d.open = true)), true`
	oldAges = `document.querySelectorAll("main .age").forEach((e) => (e.lastChild.data = "17 h 48 min ago")), true`
)

// pages are the menu's, each with the key that leads to it after g.
func (b *tab) pages() []struct{ Name, Key string } {
	b.t.Helper()
	found := eval[[]struct{ Name, Key string }](b, `[...document.querySelectorAll("nav a")].map((a) => ({ Name: a.innerText, Key: a.getAttribute("aria-keyshortcuts").slice(2) }))`)
	if len(found) < 5 {
		b.t.Fatalf("the menu has %d pages: %v", len(found), found)
	}
	return found
}

// loadAxe gives the page the accessibility checker.
func (b *tab) loadAxe() {
	b.t.Helper()
	axe, err := os.ReadFile("../../../actors/web/ui/node_modules/axe-core/axe.min.js")
	need(b.t, "axe-core (npm ci in actors/web/ui)", err == nil)
	b.do("axe", chromedp.Evaluate[chromedp.Void](string(axe)))
}

// judge demands that nothing is cut off or inaccessible at a width and in a
// theme, with the longest ages; it returns how many rules the page passes.
func (b *tab) judge(name string, width int64, theme string, contrast bool) (rules int) {
	b.t.Helper()
	b.look(width, theme)
	eval[bool](b, oldAges)
	for _, fault := range eval[[]string](b, cutOff) {
		b.t.Errorf("%s %d %s: %s", name, width, theme, fault)
	}
	verdict := eval[struct {
		Passes     int      `json:"passes"`
		Violations []string `json:"violations"`
	}](b, `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], rules: { "color-contrast": { enabled: `+strconv.FormatBool(contrast)+` } }, resultTypes: ["violations"], elementRef: false, preload: false, iframes: false }).then((r) => ({
		passes: r.passes.length,
		violations: r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " (" + n.any.concat(n.all).map((c) => c.message).join(" ") + ")").join("; ")),
	}))`)
	for _, v := range verdict.Violations {
		b.t.Errorf("%s %d %s: axe: %s", name, width, theme, v)
	}
	return verdict.Passes
}

// widths are those of a phone, a tablet, a laptop and a large screen.
var widths = []int64{390, 768, 1280, 1920}

func TestEveryPageInEveryWidthAndTheme(t *testing.T) {
	server := withGateway(t)
	b := openTab(t, browser(t), server.URL())
	b.await(soon, ".hero .word", "Live")
	// Something to see: a rotation, and an actor that failed.
	b.chord("g", "a")
	server.post("/api/v1/exchange/rotate", "")
	b.await(soon, "#card-rotation", "gen 2 adopted")
	server.post("/api/v1/chaos", `{"actor":"pcr","kind":"panic"}`)
	b.await(soon, "#card-restarts", `1\s+restart since`)
	b.loadAxe()
	checks, rules := 0, 0
	for _, p := range b.pages() {
		b.chord("g", p.Key)
		b.await(soon, "h1", p.Name)
		eval[bool](b, unfold)
		for _, width := range widths {
			for _, theme := range []string{"light", "dark"} {
				// Colours do not depend on the width: contrast, which costs most, is measured at two of them.
				found := b.judge(p.Name, width, theme, p.Name == "Overview" || width == 390 || width == 1280)
				checks, rules = checks+1, max(rules, found)
				if width == 390 || width == 1280 {
					b.keep(fmt.Sprintf("%s-%d-%s", p.Name, width, theme))
				}
			}
		}
	}
	t.Logf("%d pages judged, up to %d rules passed on each", checks, rules)
	if rules < 20 {
		t.Errorf("axe applied only %d rules: did it run?", rules)
	}
	b.clean()
}

// TestPicturesOfReadme takes the README's pictures of an hour of trading:
// KITESTRING_SCREENSHOTS=$PWD/actors/web/ui go test -run PicturesOfReadme ./cmd/kitestring/e2e
func TestPicturesOfReadme(t *testing.T) {
	if os.Getenv("KITESTRING_SCREENSHOTS") == "" {
		t.Skip("no picture is asked for: KITESTRING_SCREENSHOTS names no folder")
	}
	server := startServer(t)
	server.live()
	server.sim("POST", "/clock", `{"speed": 60}`)
	b := openTab(t, browser(t), server.URL()+"chain")
	b.await(2*time.Minute, ".clock", `10:[2-5]\d:`)
	server.sim("POST", "/clock", `{"speed": 1}`)
	server.post("/api/v1/exchange/rotate", "")
	b.look(1280, "light")
	for page, drawn := range map[string]string{"": ".canvas canvas", "chain": ".dayline polyline"} {
		b.do("open", chromedp.Navigate(server.URL()+page))
		b.await(soon, ".hero .word", "Live")
		b.holds("prices and pictures of now", `/ s ago/.test(document.querySelector(".quotes").innerText) && document.querySelectorAll(".strikes .kept").length > 20 && document.querySelector("`+drawn+`") !== null`)
		b.look(1280, "light")
		b.keepView(map[string]string{"": "screenshot", "chain": "chain"}[page], 1280, 1330)
	}
}

func TestKeyboardAlone(t *testing.T) {
	server := startServer(t)
	server.live()
	b := openTab(t, browser(t), server.URL())
	b.await(soon, ".hero .word", "Live")
	focuses := func(what, id string) {
		t.Helper()
		b.holds(what, fmt.Sprintf(`(document.activeElement.id || document.activeElement.className) === %q`, id))
	}

	b.press(kb.Tab)
	focuses("the first stop is the skip link", "skip")
	b.press(kb.Enter)
	focuses("the skip link leads to the content", "main")
	// Every stop can be seen, and none is a trap: the walk comes to its end.
	stops := map[string]bool{}
	b.do("begin at the top", chromedp.Navigate(server.URL()))
	b.await(soon, ".hero .word", "Live")
	for range 60 {
		b.press(kb.Tab)
		stop := eval[string](b, `(() => {
			const e = document.activeElement, r = e.getBoundingClientRect(), s = getComputedStyle(e);
			if (e === document.body) return "end";
			if (r.width === 0 || s.outlineStyle === "none") return "unseen: " + e.outerHTML.slice(0, 80);
			return e.tagName + " " + (e.innerText || e.getAttribute("aria-label") || e.id).trim().replace(/\s+/g, " ").slice(0, 40);
		})()`)
		if strings.HasPrefix(stop, "unseen") {
			t.Error(stop)
		}
		stops[stop] = true
		if stop == "end" {
			break
		}
	}
	for _, want := range []string{"end", "BUTTON NIFTY", "A Analyses", "BUTTON 15m", "BUTTON Levels", "A All events"} {
		found := false
		for s := range stops {
			found = found || strings.HasPrefix(s, want)
		}
		if !found {
			t.Errorf("Tab does not come to %q; it comes to %v", want, stops)
		}
	}

	b.hit("u")
	b.await(soon, "#chart-title", "BANKNIFTY")
	b.hit("?")
	b.await(soon, "dialog[open]", `Keyboard[\s\S]*Search the events`)
	b.press(kb.Escape)
	b.holds("Escape closes the list of keys", `document.querySelector("dialog[open]") === null`)
	b.hit("/")
	b.await(soon, "h1", "Events")
	focuses("/ leads to the search field", "search")
	b.press("adopted")
	b.holds("the search leaves the events that match", `((all) => all.length > 0 && all.every((e) => /adopted/.test(e.innerText)))([...document.querySelectorAll(".event .text")])`)
	b.press(kb.Escape)
	// Keys come faster than a busy machine draws: none may be lost to a frame
	// that has not come yet.
	eval[bool](b, `(window.requestAnimationFrame = (then) => setTimeout(() => then(performance.now()), 1000), true)`)
	b.chord("g", "a")
	b.hit("/")
	b.press("zone")
	b.await(soon, "h1", "Actors")
	b.await(soon, ".tree tbody", `^\s*zone control`)
	b.press(kb.Tab, kb.Tab) // the scrolling region, then its first button
	b.press(kb.Enter)
	b.await(soon, "main", "Restart of zone control requested")
	b.await(soon, ".tree tbody", `zone control[\s\S]*running`)
	b.hit("t", "t") // as the system, light, dark
	b.holds("the theme's key leads to the dark one", `getComputedStyle(document.documentElement).colorScheme === "dark"`)
	b.unfolded("#card-token", "Paste the link")
	b.do("focus", chromedp.Focus(chromedp.CSS(".login .link")))
	b.press(kb.Enter, kb.Tab)
	focuses("the paste field is next", "pasted")
	b.press("https://example.com/?nothing=1", kb.Enter)
	b.await(soon, "#pasted-words", "request_token")
	b.clean("status of 422") // the browser itself logs it
}

// While the feed lives nobody asks over REST, until a person does.
func TestAskKiteNow(t *testing.T) {
	const card = `section[aria-labelledby="reading-direct"]`
	server := startServer(t)
	server.live()
	b := openTab(t, browser(t), server.URL()+"analyses")
	b.await(soon, card, `([2-9]|\d\d) s ago|No input yet`) // the next answer is of another second
	asOf := regexp.MustCompile(`As of [\d:]+ IST`)
	before := asOf.FindString(b.text(card)) // asked at the start, or not yet
	if before == "" {
		before = "As of never"
	}
	b.click(card + " button")
	b.await(soon, card, `Kite's own quote: [\d,.]+[\s\S]*Asked Kite for NIFTY[\s\S]*As of (?!`+strings.TrimPrefix(before, "As of ")+`)`)
	b.keep("ask-kite-now")
	b.clean()
}

func TestPagesHaveAddresses(t *testing.T) {
	server := startServer(t)
	server.live()
	for _, path := range []string{"", "chain", "analyses", "actors", "events", "drills"} {
		resp, err := server.client.Get(server.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !bytes.Contains(body, []byte("/assets/app.js")) || bytes.Contains(body, []byte("style=")) {
			t.Errorf("/%s: %s", path, resp.Status)
		}
	}
	resp, err := server.client.Get(server.URL() + "assets/licenses.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	for _, want := range []string{"preact", "signals-core", "TradingView", "Apache License", "fancy-canvas"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("the licenses lack %s", want)
		}
	}
}
