package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
)

// onCI makes a missing tool a failure instead of a skip.
var onCI = os.Getenv("CI") == "true"

// need skips the test, or fails it on CI, where everything is installed.
func need(t testing.TB, what string, ok bool) {
	t.Helper()
	switch {
	case ok:
	case onCI:
		t.Fatalf("%s is missing; CI installs it (.ci/run)", what)
	default:
		t.Skipf("%s is missing", what)
	}
}

// chromium is the one browser of all tests; each opens tabs of its own.
var chromium struct {
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	folder string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.ctx != nil {
		// The polite way first: Chromium writes into its folder until it has gone.
		_ = chromedp.Cancel(chromium.ctx)
		chromium.cancel()
		_ = os.RemoveAll(chromium.folder)
	}
	os.Exit(code)
}

// browser is a headless Chromium, started with the first test that needs it.
func browser(t testing.TB) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	need(t, "chromium", err == nil)
	chromium.once.Do(func() { chromium.err = startChromium(path) })
	if chromium.err != nil {
		t.Fatalf("start chromium: %v", chromium.err)
	}
	return chromium.ctx
}

func startChromium(path string) (err error) {
	if chromium.folder, err = os.MkdirTemp("", "kitestring-e2e"); err != nil {
		return err
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-extensions", true), chromedp.Flag("no-proxy-server", true),
		// Several tabs are open at a time here, and each must work as if it were in front.
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true), chromedp.Flag("disable-popup-blocking", true),
		chromedp.UserDataDir(chromium.folder), chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(time.Minute),
	)
	chromium.cancel = cancel
	chromium.ctx, _ = chromedp.NewContext(ctx)
	return chromedp.Do(chromium.ctx)
}

// tab is one page of the dashboard, and what went wrong on it.
type tab struct {
	t    testing.TB
	ctx  context.Context
	host string // the only one that may be asked

	mu      sync.Mutex
	errors  []string // console errors and uncaught exceptions
	offHost []string
	asked   []string // every address
	trace   []traced
	traced  chan struct{} // closed when the trace is whole
}

// close ends the tab.
func (b *tab) close() {
	b.t.Helper()
	if err := chromedp.Cancel(b.ctx); err != nil {
		b.t.Logf("close the tab: %v", err)
	}
}

// openTab opens a page of its own in the browser.
func openTab(t testing.TB, ctx context.Context, address string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return adopt(t, ctx, address)
}

// adopt takes a tab over and goes to the address, "" to stay.
func adopt(t testing.TB, ctx context.Context, address string) *tab {
	t.Helper()
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	if address != "" {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		b.host = u.Host
		b.do("open "+address, chromedp.Navigate(address))
	}
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *cdpruntime.EventExceptionThrown:
		b.errors = append(b.errors, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.Exception))
	case *cdpruntime.EventConsoleAPICalled:
		if e.Type == cdpruntime.ConsoleAPICalledTypeError || e.Type == cdpruntime.ConsoleAPICalledTypeWarning {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value))
			}
			b.errors = append(b.errors, strings.Join(words, " "))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.errors = append(b.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *tracing.EventDataCollected:
		for _, v := range e.Value {
			var t traced
			if json.Unmarshal(v, &t) == nil {
				b.trace = append(b.trace, t)
			}
		}
	case *tracing.EventTracingComplete:
		close(b.traced)
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
		u, err := url.Parse(e.Request.URL)
		if err == nil && b.host != "" && u.Host != b.host && u.Scheme != "data" {
			b.offHost = append(b.offHost, e.Request.URL)
		}
	}
}

// clean demands that nothing went wrong on the page, but for what was expected,
// and nobody else was asked.
func (b *tab) clean(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.errors {
		if !slices.ContainsFunc(expected, func(part string) bool { return strings.Contains(e, part) }) {
			b.t.Errorf("console: %s", e)
		}
	}
	for _, u := range b.offHost {
		b.t.Errorf("off-host request: %s", u)
	}
}

func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.keep("failed-" + what)
		b.t.Fatalf("%s: %v", what, err)
	}
}

// eval gives the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 90*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.keep("failed-evaluation")
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

// text is the text of the elements.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.innerText).join("\n")`, selector))
}

// await waits until the text of the elements matches, and returns how long it
// took. The page itself watches: asking it again and again would slow it down.
func (b *tab) await(d time.Duration, selector, pattern string) time.Duration {
	b.t.Helper()
	start := time.Now()
	for {
		left := d - time.Since(start)
		watch := fmt.Sprintf(`new Promise((done) => {
			const pattern = new RegExp(%q, "i");
			const look = () => pattern.test(%t ? document.title : [...document.querySelectorAll(%q)].map((e) => e.innerText).join("\n"));
			if (look()) return done(true);
			const timer = setInterval(() => { if (look()) { clearInterval(timer); clearTimeout(end); done(true); } }, 20);
			const end = setTimeout(() => { clearInterval(timer); done(false); }, %d);
		})`, pattern, selector == "title", selector, max(left.Milliseconds(), 1))
		ctx, cancel := context.WithTimeout(b.ctx, left+20*time.Second)
		found, err := chromedp.Run(ctx, chromedp.Evaluate[bool](watch, chromedp.EvalAwaitPromise))
		cancel()
		if found {
			return time.Since(start)
		}
		if err != nil && left > 0 && b.ctx.Err() == nil {
			<-time.After(20 * time.Millisecond) // another document took the place of the one that watched
			continue
		}
		seen := "the title"
		if selector != "title" {
			seen = b.text(selector)
		}
		b.keep("failed-" + pattern)
		b.t.Fatalf("not within %s in %s: %q (seen: %q; %v)", d, selector, pattern, seen, err)
	}
}

// holds waits until an expression in the page is true.
func (b *tab) holds(what, expression string) {
	b.t.Helper()
	if !eval[bool](b, fmt.Sprintf(`new Promise((done) => {
		const end = performance.now() + %d;
		const look = () => {
			let holds = false;
			try { holds = %s; } catch {} // an element is not there yet
			if (holds || performance.now() > end) done(Boolean(holds));
			else setTimeout(look, 20);
		};
		look();
	})`, soon.Milliseconds(), expression)) {
		b.keep("failed-" + what)
		b.t.Fatalf("not within %s: %s", soon, what)
	}
}

// unfolded waits until an unfolded line of the actors' page matches: it folds
// itself when what was wrong is over.
func (b *tab) unfolded(selector, pattern string) {
	b.t.Helper()
	b.holds(selector+" says "+pattern, fmt.Sprintf(`((e) => (e.open = true, new RegExp(%q, "i").test(e.innerText)))(document.querySelector(%q))`, pattern, selector))
}

// look sets the width and the theme.
func (b *tab) look(width int64, theme string) {
	b.t.Helper()
	height := int64(900)
	if width < 500 {
		height = 844
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1}); err != nil {
		b.t.Fatalf("resize: %v", err)
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: theme},
		{Name: "prefers-reduced-motion", Value: "reduce"},
	}}); err != nil {
		b.t.Fatalf("theme: %v", err)
	}
	// Two frames, so that what listens to sizes has drawn.
	eval[bool](b, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
}

// keep stores a picture of the whole page as test output.
func (b *tab) keep(name string) {
	dir := os.Getenv("KITESTRING_SCREENSHOTS")
	if dir == "" {
		dir = b.t.ArtifactDir()
	}
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return // a picture is a help, not a demand
	}
	name = regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-")
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.t.Logf("screenshot: %v", err)
	}
}

// keepView stores what a window of that size shows first.
func (b *tab) keepView(name string, width, height int64) {
	dir := os.Getenv("KITESTRING_SCREENSHOTS")
	if dir == "" {
		dir = b.t.ArtifactDir()
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1}); err != nil {
		return
	}
	eval[bool](b, `new Promise((done) => setTimeout(() => done(true), 300))`)
	if picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)
	}
}

// press sends a key to the page.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.do("press "+k, chromedp.KeyEvent(k))
	}
}

// hit presses a key that is a command of the page: its character reaches no
// field, as the page prevents it.
func (b *tab) hit(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
			if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Key: k}); err != nil {
				b.t.Fatalf("hit %s: %v", k, err)
			}
		}
	}
}

// chord hits keys that count together only when they follow each other soon; on
// a machine that held one of them up they are hit again.
func (b *tab) chord(keys ...string) {
	b.t.Helper()
	for {
		start := time.Now()
		b.hit(keys...)
		if time.Since(start) < time.Second { // of the page's 1.5
			return
		}
	}
}

// fill puts a value into a field, as typing it would, when the field is there
// and takes it: a list may have no such entry yet.
func (b *tab) fill(selector, value string) {
	b.t.Helper()
	b.holds(selector+" takes "+value, fmt.Sprintf(`((e) => {
		e.value = %q;
		if (e.value !== %[1]q) return false;
		for (const kind of ["input", "change"]) e.dispatchEvent(new Event(kind, { bubbles: true }));
		return true;
	})(document.querySelector(%q))`, value, selector))
}

// click presses an element when it is there, wherever it stands by then: what a
// person aims at may move while a mouse is on its way.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.holds(selector+" can be pressed", fmt.Sprintf(`((e) => !e.disabled && (e.click(), true))(document.querySelector(%q))`, selector))
}

// popup runs what opens a window and takes that window over.
func (b *tab) popup(open func()) *tab {
	b.t.Helper()
	fresh := chromedp.WaitNewTarget(b.ctx, func(info *target.Info) bool { return info.Type == "page" })
	open()
	select {
	case id := <-fresh:
		ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
		b.t.Cleanup(cancel)
		p := adopt(b.t, ctx, "")
		p.do("attach to the window")
		return p
	case <-time.After(time.Minute):
		b.t.Fatal("no window was opened")
		return nil
	}
}
