package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kitestring/supervisor/tree"
)

// manual leaves the login to a person.
func manual(cfg *tree.Config) { cfg.Sim.ManualLogin = true }

func TestLoginInTheBrowser(t *testing.T) {
	server := startServer(t, manual)
	ctx := browser(t)
	b := openTab(t, ctx, server.URL())
	other := openTab(t, ctx, server.URL()+"events")
	for _, tab := range []*tab{b, other} {
		tab.await(soon, ".hero", `Log in[\s\S]*no token yet`)
		tab.await(soon, "title", "Log in")
	}
	b.holds("the favicon shows that there is no token", `document.querySelector("link[rel=icon]").getAttribute("href") === "/assets/down.svg"`)
	logIn := func() {
		b.holds("Log in takes the focus", `(document.querySelector("#login").focus(), document.activeElement.id === "login")`)
		b.press(kb.Enter)
	}

	// Cancelled at the exchange.
	w := b.popup(logIn)
	w.await(soon, "h1", "Simulated exchange")
	b.await(soon, ".login", `Waiting for the login in the other window[\s\S]*\d:\d\d left`)
	b.keep("login-waiting")
	w.do("cancel", chromedp.Click(chromedp.CSS("button[value=cancel]")))
	w.await(soon, "body", "Login cancelled")
	b.await(soon, "#login-result", "Login cancelled")
	other.await(soon, ".events", "login")
	w.close()

	// A state that belongs to no login of this server.
	stranger := openTab(t, ctx, server.URL()+"callback?status=success&action=login&type=login&request_token="+strings.Repeat("a", 32)+"&state=wrong")
	stranger.await(soon, "body", "did not work[\\s\\S]*belongs to no login")
	b.await(soon, "#login-result", "Login cancelled") // a stranger's is no event: anyone can send it

	// Approved: the page goes live by itself, and so does the other tab.
	w = b.popup(logIn)
	w.await(soon, "h1", "Simulated exchange")
	w.do("approve", chromedp.Click(chromedp.CSS("button[value=approve]")))
	took := b.await(2*soon, ".hero .word", "Live")
	t.Logf("live %s after the approval was pressed", took)
	b.await(soon, "#login-result", "Logged in")
	b.holds("the chart of a page that was open before the login has its history", `parseInt(document.querySelector(".frame").getAttribute("aria-label"), 10) > 100`)
	other.await(soon, ".hero .word", "Live")
	other.await(soon, ".events", "Logged in")
	w.await(soon, ".hero .word", "Live")
	w.await(soon, ".arrived", "this one can be closed")
	w.keep("login-window")
	gone, err := chromedp.Detached(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	// A moment later: a script in a window that is gone gets no answer.
	eval[bool](w, `(setTimeout(() => document.querySelector(".arrived button").click()), true)`)
	select {
	case <-gone:
	case <-time.After(soon):
		t.Error("the window does not close itself when asked to")
	}
	b.keep("login-done")

	// The address that the window came back by, once more.
	w.mu.Lock()
	var callback string
	for _, u := range w.asked {
		if strings.Contains(u, "/callback?") {
			callback = u
		}
	}
	w.mu.Unlock()
	if callback == "" {
		t.Fatalf("the window never came to the callback: %v", w.asked)
	}
	stranger.do("replay", chromedp.Navigate(callback))
	stranger.await(soon, "body", "was used before")
	b.await(soon, "#login-result", "was used before")
	b.await(soon, ".hero .word", "Live")
	b.chord("g", "a")
	b.await(soon, "#card-token", `Valid[\s\S]*gen 1`)
	b.clean()
	other.clean()
}

// A page of another site, or of another port of this machine, begins no login:
// not by an image, a frame, or a form that it sends off by itself. The built-in
// exchange would end one by itself, and the token would change. A link leads to
// the dashboard.
func TestAnotherSitesPageBeginsNoLogin(t *testing.T) {
	server := startServer(t)
	server.live()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		login := server.URL() + "login"
		fmt.Fprintf(w, `<title>waits</title><script>let left = 2; const ended = () => { if (--left === 0) document.title = "ended" }</script>
<img src=%[1]q onload="ended()" onerror="ended()"><iframe src=%[1]q onload="ended()"></iframe><a id="link" href=%[1]q>log in</a>`, login)
	}))
	defer elsewhere.Close()
	logins := func() (n int64) {
		st := server.Exchange().State().Requests
		return st.Answered["session"] + st.Refused["session"]
	}
	before, ctx := logins(), browser(t)
	for _, page := range []string{elsewhere.URL, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)} {
		b := openTab(t, ctx, page)
		b.await(soon, "title", "ended")
		b.click("#link")
		b.await(soon, ".hero .word", "Live")
		b.holds("a link leads to the dashboard", `location.pathname === "/"`)
	}
	if n := logins() - before; n != 0 {
		t.Errorf("%d logins were made", n)
	}
}

func TestPastedLogin(t *testing.T) {
	server := startServer(t, manual)
	b := openTab(t, browser(t), server.URL())
	b.await(soon, ".hero .word", "Log in")
	b.look(390, "dark")
	b.click(".login .link")
	paste := func(text string) {
		b.fill("#pasted", text)
		b.click("#paste button")
	}
	for _, c := range []struct{ text, words string }{
		{"", "Paste the link"},
		{"https://kite.zerodha.com/connect/login?v=3&api_key=x", "before the login|login page"},
		{"http://127.0.0.1:8420/callback?status=cancelled", "cancelled"},
		{"http://127.0.0.1:8420/callback?status=success&request_token=" + strings.Repeat("a", 32) + "&state=wrong", "belongs to no login"},
	} {
		paste(c.text)
		b.await(soon, "#pasted-words", c.words)
	}
	b.keep("login-paste")
	// As on a phone: the login ends on an address that the phone cannot open.
	resp, err := server.client.Get(server.URL() + "login")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	page, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"api_key": {page.Query().Get("api_key")}, "redirect_params": {page.Query().Get("redirect_params")}, "answer": {"approve"}}
	resp, err = server.client.PostForm("http://"+server.SimAddr()+"/connect/login", form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Fatalf("approve: %s", resp.Status)
	}
	paste(resp.Header.Get("Location"))
	b.await(2*soon, ".hero .word", "Live")
	b.await(soon, "#login-result", "Logged in")
}

// Where an admin token is set, the page asks for it, once.
func TestAdminTokenInTheBrowser(t *testing.T) {
	server := startServer(t)
	server.live()
	const token = "an-admin-token-of-more-than-32-characters"
	if err := server.SetKey(t.Context(), "ADMIN_TOKEN", token); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(soon); ; <-time.After(20 * time.Millisecond) {
		if code, _ := server.post("/api/v1/token/validate", ""); code == http.StatusUnauthorized {
			break
		} else if time.Now().After(end) {
			t.Fatalf("without the admin token: %d", code)
		}
	}
	b := openTab(t, browser(t), server.URL()+"actors")
	b.await(soon, ".hero .word", "Live")
	restart := func(name string) {
		b.click(`button[aria-label="Restart ` + name + `"]`)
	}
	show := func(text string) {
		b.fill("#admin-token", text)
		b.click("dialog[open] button[type=submit]")
	}
	restart("pcr")
	b.await(soon, "dialog[open]", `Admin token[\s\S]*ADMIN_TOKEN of the .env file`)
	b.keep("admin-token")
	show("wrong")
	b.await(soon, "dialog[open]", "not the ADMIN_TOKEN")
	show(token)
	b.await(soon, "main", "Restart of pcr requested")
	restart("bars")
	b.await(soon, "main", "Restart of bars requested")
	if kept := eval[string](b, `document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })`); strings.Contains(kept, token) || strings.Contains(kept, "kitestring_session") {
		t.Errorf("the page's scripts can read %s", kept)
	}
}
