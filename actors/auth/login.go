package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"kitestring/actors"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/scrub"
)

// exchangeLasts bounds what follows a callback; it goes on when the browser
// has gone away, because a request token is good only once.
const exchangeLasts = 20 * time.Second

// HandlersConfig is what the login needs.
type HandlersConfig struct {
	Exchange kite.Exchange
	Logins   *Logins
	Tokens   actors.TokenSource
	// Store writes the token into the .env file; on an error the old one is
	// untouched.
	Store interface {
		SetToken(ctx context.Context, token messages.AccessToken) error
	}
	Credentials func() (apiKey string, apiSecret messages.Secret) // as the file has them now
	EnvFile     string                                            // its path, for the messages to a person
	Account     func() string                                     // that the file names (ZERODHA_USER_ID); "": none
	Accounts    *Store                                            // remembers the account of the last login
	Notify      func(messages.LoginEnded)
	// Assume counts what speaks for and against an assumption about Kite; nil: not
	// wanted.
	Assume  func(a messages.Assumption, held bool, n uint64)
	Metrics *Metrics
	Log     *slog.Logger
}

// Handlers are the HTTP side of a login. Safe for concurrent use.
type Handlers struct {
	HandlersConfig
	strangers *rate.Limiter // log lines about callbacks that belong to no login
}

// NewHandlers makes them.
func NewHandlers(cfg HandlersConfig) *Handlers {
	cfg.Log = cfg.Log.With("actor", "auth")
	return &Handlers{cfg, rate.NewLimiter(rate.Every(10*time.Second), 5)}
}

// outcome is how a login ended, and what a person reads of it. The words never
// repeat anything that came with the request.
type outcome struct {
	result messages.LoginResult
	status int // of the page
	reason string
}

// Login is GET /login: on to Kite's login page. A page of another site that
// sends a browser here begins nothing: the person has to ask for it.
func (h *Handlers) Login(w http.ResponseWriter, r *http.Request) {
	if !get(w, r) {
		return
	}
	switch r.Header.Get("Sec-Fetch-Site") { // every browser of today sends it
	case "", "none", "same-origin":
	default:
		status := http.StatusForbidden
		if navigation(r) {
			status = http.StatusOK // a link in a message
		}
		writePage(w, status, "Log in to Kite?", "Another page has sent you here. Log in only if you wanted to.")
		return
	}
	address, err := h.Start()
	if err != nil {
		writePage(w, http.StatusServiceUnavailable, "The login cannot begin", err.Error())
		return
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// Start begins a login and gives the address at Kite that a person opens, on
// any device. The error is for that person.
func (h *Handlers) Start() (string, error) {
	key, _, err := h.credentials()
	if err != nil {
		return "", err
	}
	address, err := url.Parse(h.Exchange.LoginURL)
	if err != nil || address.Host == "" {
		return "", userError("The address of Kite's login page is not usable: check KITE_LOGIN_URL.")
	}
	query := address.Query()
	query.Set("v", "3")
	query.Set("api_key", key)
	query.Set("redirect_params", url.Values{"state": {h.Logins.begin()}}.Encode())
	address.RawQuery = query.Encode()
	return address.String(), nil
}

// Link is the address of Kite's login page for a person who answers with the
// address on which the login ends: it does not expire, and it has no state, since
// who answers is known by other means. "": the file has no API key.
func (h *Handlers) Link() string {
	address, err := url.Parse(h.Exchange.LoginURL)
	key, _ := h.Credentials()
	if err != nil || address.Host == "" || key == "" {
		return ""
	}
	query := address.Query()
	query.Set("v", "3")
	query.Set("api_key", key)
	address.RawQuery = query.Encode()
	return address.String()
}

func (h *Handlers) credentials() (string, messages.Secret, error) {
	key, secret := h.Credentials()
	switch {
	case key == "":
		return "", messages.Secret{}, h.missing("ZERODHA_API_KEY")
	case secret.IsZero():
		return "", messages.Secret{}, h.missing("ZERODHA_API_SECRET")
	}
	return key, secret, nil
}

func (h *Handlers) missing(line string) error {
	return userError(fmt.Sprintf("%s is missing. Add the line %s=... to %s (the value is on developers.kite.trade, under your app), then log in again.", line, line, h.EnvFile))
}

// userError is an error in words for a person.
type userError string

// Error implements error.
func (p userError) Error() string { return string(p) }

// Callback is GET /callback: where Kite sends the browser after the login. It
// ends on a page without a query, or on one that says what went wrong.
func (h *Handlers) Callback(w http.ResponseWriter, r *http.Request) {
	if !get(w, r) {
		return
	}
	if !navigation(r) {
		writePage(w, http.StatusForbidden, "The login did not work", "This address is where Kite sends a browser, not a part of another page. Log in again.")
		return
	}
	state, requestToken, refused := readCallback(r.URL.RawQuery)
	o := refused
	switch {
	case o.result == "":
		o = h.conclude(r.Context(), state, requestToken, h.stranger)
	case o.result == messages.LoginCancelled && h.Logins.cancel():
		h.ended(o, "")
	default:
		h.stranger(o)
	}
	if o.result == messages.LoginOK {
		// The fragment marks the page as the end of a login.
		http.Redirect(w, r, "/#logged-in", http.StatusSeeOther)
		return
	}
	title := "The login did not work"
	if o.result == messages.LoginCancelled {
		title = "Login cancelled"
	}
	writePage(w, o.status, title, o.reason)
}

// Complete finishes a login with what a person pasted: the address on which
// the browser landed after the login, or the bare request token.
func (h *Handlers) Complete(ctx context.Context, pasted string) (messages.LoginResult, string) {
	state, requestToken, o := readPasted(pasted)
	if o.result == "" {
		o = h.conclude(ctx, state, requestToken, func(o outcome) { h.ended(o, "") })
	} else {
		h.ended(o, "")
	}
	return o.result, o.reason
}

// conclude exchanges a request token, at most once, and writes the file. unknown
// reports a state that belongs to no login of this server.
func (h *Handlers) conclude(ctx context.Context, state string, requestToken messages.Secret, unknown func(outcome)) outcome {
	l, claim := h.Logins.claim(state, requestToken)
	var o outcome
	fingerprint := ""
	switch claim {
	case claimMine:
		o = outcome{messages.LoginExchangeFailed, http.StatusInternalServerError, "The server failed while it finished the login. Log in again."}
		defer func() { h.Logins.finish(l, o) }() // also when the exchange panics
		o, fingerprint = h.exchange(ctx, requestToken)
	case claimJoined:
		select {
		case <-l.done:
			return l.outcome // reported by the callback that exchanged
		case <-ctx.Done():
			return outcome{messages.LoginTimeout, http.StatusServiceUnavailable, "The login is still being finished. Look at the first page."}
		}
	case claimUnknown:
		o = bad("The parameter state belongs to no login that was begun here: it is from another login, or the server has been restarted since. Log in again, from this server's page.")
	case claimLate:
		o = outcome{messages.LoginTimeout, http.StatusBadRequest, "The login took longer than 10 minutes. Log in again."}
	case claimReplayed:
		o = bad("This login (its parameter state) was used before and counts only once. " + h.Logins.past(l) + " Log in again if the first page asks for it.")
	case claimReused:
		o = outcome{messages.LoginExchangeFailed, http.StatusBadRequest, "This request_token was used before; Kite takes each one once. " + h.Logins.past(l) + " Log in again if the first page asks for it."}
	}
	if claim == claimUnknown {
		unknown(o)
		return o
	}
	h.ended(o, fingerprint)
	return o
}

// navigation reports whether a browser shows a person the answer, so far as it
// says: an image, a frame or a script of another page does not.
func navigation(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "" || dest == "document"
}

func bad(reason string) outcome {
	return outcome{messages.LoginBadState, http.StatusBadRequest, reason}
}

// exchange gets the access token and puts it into the file; the watcher takes
// it from there, as any other writer's. It gives the token's fingerprint, "" when
// there is none.
func (h *Handlers) exchange(ctx context.Context, requestToken messages.Secret) (outcome, string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeLasts)
	defer cancel()
	key, secret, err := h.credentials()
	if err != nil {
		return outcome{messages.LoginExchangeFailed, http.StatusServiceUnavailable, err.Error()}, ""
	}
	session, err := kite.ExchangeRequestToken(ctx, h.Exchange, key, secret, requestToken)
	if err != nil {
		h.Log.Warn("request token not exchanged", "error", err)
		return outcome{messages.LoginExchangeFailed, http.StatusBadGateway, h.explain(err)}, ""
	}
	if known := cmp.Or(h.Account(), h.Accounts.Account()); known != "" && session.UserID != "" && session.UserID != known {
		h.Log.Warn("login of another account refused", "account", scrub.Text(session.UserID), "known", known)
		return outcome{messages.LoginExchangeFailed, http.StatusConflict, h.otherAccount(scrub.Text(session.UserID), known)}, ""
	}
	view, fingerprint := h.Tokens.Current(), session.Token.Fingerprint()
	if status, _ := h.Accounts.Adopted(); status.State == messages.Valid && h.Assume != nil {
		h.Assume(messages.SameToken, session.Token.Equal(view.Adopted.Token), 1)
	}
	if err := h.Store.SetToken(ctx, session.Token); err != nil {
		h.Log.Error("access token not written", "error", err)
		return outcome{messages.LoginExchangeFailed, http.StatusInsufficientStorage, h.unwritten(err)}, ""
	}
	if err := h.Accounts.SetAccount(session.UserID); err != nil {
		h.Log.Warn("the account is not remembered", "error", err) // no reason not to work
	}
	if session.Token.Equal(view.Adopted.Token) || session.Token.Equal(view.Candidate.Token) {
		return outcome{messages.LoginOK, http.StatusOK, "Logged in. Kite gave the same access token as before, as it does within a day. If it was refused before, it is tried again."}, fingerprint
	}
	return outcome{messages.LoginOK, http.StatusOK, "Logged in. The new access token is in the file."}, fingerprint
}

// otherAccount says what a login of another account than the known one has done.
// It is not nothing: Kite ends an account's older token at each login.
func (h *Handlers) otherAccount(account, known string) string {
	if account == h.Accounts.Account() { // the file names a wrong one
		return fmt.Sprintf("This login is of the account %s, as the last one was, and ZERODHA_USER_ID in %s names %s. Its token was not written, and Kite has ended the one before, so that data over REST stops. Correct ZERODHA_USER_ID, then log in again.",
			account, h.EnvFile, known)
	}
	return fmt.Sprintf("This login is of the account %s, and this server works with %s: its token was not written. The token in the file goes on if it is of %s; if it is of %s, Kite has ended it with this login. Log in as %s. To change the account, put the line ZERODHA_USER_ID=%s into %s, then log in again.",
		account, known, known, account, known, account, h.EnvFile)
}

// explain says for a person why Kite did not exchange.
func (h *Handlers) explain(err error) string {
	return h.refused(err) + kiteSays(kite.Said(err))
}

func (h *Handlers) refused(err error) string {
	var e *kite.Error
	if errors.As(err, &e) && e.BadChecksum {
		return "Kite refused the checksum: ZERODHA_API_SECRET does not belong to ZERODHA_API_KEY. Compare both lines in " + h.EnvFile + " with developers.kite.trade (was the secret regenerated?), then log in again."
	}
	switch kite.KindOf(err) {
	case kite.TokenRefused:
		return "Kite refused the request_token: it was used before, or is too old (it lasts a few minutes), or is of another API key than ZERODHA_API_KEY. Log in again."
	case kite.Forbidden:
		return "Kite does not let this account or API key log in. Look at developers.kite.trade, under your app, whether it is active; then log in again."
	case kite.Input:
		return "Kite did not understand the exchange: check ZERODHA_API_KEY in " + h.EnvFile + ", then log in again."
	case kite.RateLimited:
		return "Kite asked us to slow down. Wait a minute, then log in again."
	case kite.Server:
		return "Kite has a fault of its own at the moment. Wait a minute, then log in again."
	case kite.Malformed:
		return "Something else than Kite answered: a proxy, or a captive portal? Check the connection, then log in again."
	default:
		return "Kite did not answer. Check the connection, then log in again."
	}
}

// unwritten says for a person why the file could not be written.
func (h *Handlers) unwritten(err error) string {
	why := "could not be written (the log has the details)"
	do := "Make it writable"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		why, do = "could not be written: the disk is full", "Make room"
	case errors.Is(err, syscall.EROFS):
		why, do = "could not be written: its file system is read-only", "Mount it writable"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		why, do = "could not be written: this server has no permission to", "Give its user the right to write the file and its directory"
	}
	return "Kite accepted the login, but " + h.EnvFile + " " + why + ". The file is as it was, and Kite has ended the token in it with this login. " + do + ", then log in again."
}

// stranger counts a callback that belongs to no login of this server: anybody
// can send one, so that it is no event and may not fill the log.
func (h *Handlers) stranger(o outcome) {
	h.Metrics.logins[o.result].Inc()
	if h.strangers.Allow() {
		h.Log.Info("callback that belongs to no login", "result", string(o.result), "reason", o.reason)
	}
}

// ended reports the end of a login, once.
func (h *Handlers) ended(o outcome, fingerprint string) {
	h.Metrics.logins[o.result].Inc()
	h.Log.Info("login ended", "result", string(o.result), "reason", o.reason)
	h.Notify(messages.LoginEnded{Result: o.result, Reason: o.reason, Fingerprint: fingerprint, At: time.Now()})
}

// requestTokens are 32 alphanumerics; a little room for the day they are not.
var requestTokens = regexp.MustCompile(`^[A-Za-z0-9]{8,128}$`)

const cancelled = "The login was cancelled at Kite. Nothing has changed; log in when you are ready."

// readCallback takes Kite's redirect apart. The outcome is empty when there is
// something to exchange.
func readCallback(raw string) (state string, requestToken messages.Secret, refused outcome) {
	query, err := url.ParseQuery(raw)
	if err != nil || len(raw) > 4096 {
		return "", messages.Secret{}, bad("This is not the address that Kite redirects to. Log in again.")
	}
	for _, name := range []string{"status", "state", "request_token"} {
		if len(query[name]) > 1 {
			return "", messages.Secret{}, bad("The parameter " + name + " is repeated in the address. Log in again.")
		}
	}
	// On cancel Kite sends the status alone, without our state.
	switch status := query.Get("status"); {
	case status == "cancelled":
		return "", messages.Secret{}, outcome{messages.LoginCancelled, http.StatusOK, cancelled}
	case len(query) == 0:
		return "", messages.Secret{}, bad("This is the page on which a login ends; one begins at /login.")
	case status != "success":
		return "", messages.Secret{}, bad("The parameter status does not say success: Kite did not let the login through. Log in again.")
	case query.Get("state") == "":
		return "", messages.Secret{}, bad("The parameter state is missing: this login was not begun here. Log in from this server's page.")
	case !requestTokens.MatchString(query.Get("request_token")):
		return "", messages.Secret{}, bad("The parameter request_token is missing or damaged. Log in again.")
	}
	return query.Get("state"), messages.NewSecret(query.Get("request_token")), outcome{}
}

// readPasted understands what a person may have copied, and says what to copy
// instead when it is something else.
func readPasted(pasted string) (state string, requestToken messages.Secret, refused outcome) {
	const want = "Paste the address of the page on which the browser lands after the login: it contains request_token=."
	s := strings.Trim(strings.TrimSpace(pasted), `"'<>`)
	_, query, isQuery := strings.Cut(s, "?")
	if !isQuery {
		query = s
	}
	query, _, _ = strings.Cut(query, "#")
	values, err := url.ParseQuery(query)
	if err != nil {
		values = nil
	}
	switch token := values.Get("request_token"); {
	case s == "":
		refused = bad("Nothing was pasted. " + want)
	case values.Get("status") == "cancelled":
		refused = outcome{messages.LoginCancelled, http.StatusOK, cancelled}
	case requestTokens.MatchString(token):
		return values.Get("state"), messages.NewSecret(token), outcome{}
	case token != "":
		refused = bad("The request_token in what was pasted is damaged. " + want)
	case values.Has("access_token"):
		refused = bad("That holds an access token, not a request token. " + want)
	case strings.Contains(s, "/connect/"):
		refused = bad("That is the address of Kite's login page: log in there first. " + want)
	case strings.Contains(s, "/"):
		refused = bad("That address has no request_token. " + want)
	case requestTokens.MatchString(s):
		return "", messages.NewSecret(s), outcome{}
	default:
		refused = bad("That is neither an address nor a request token. " + want)
	}
	return "", messages.Secret{}, refused
}

var page = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} - kitestring</title>
<main>
<h1>{{.Title}}</h1>
<p>{{.Reason}}</p>
<p><a href="/login">Log in again</a> or go <a href="/">back to the dashboard</a>.</p>
</main>
</html>
`))

// writePage shows a person what happened. It loads nothing and leaks nothing:
// its address may hold a request token.
func writePage(w http.ResponseWriter, status int, title, reason string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_ = page.Execute(w, struct{ Title, Reason string }{title, reason}) // the browser has gone
}

// get lets GET through, and nothing be cached or passed on: HEAD and prefetches by
// other methods must not use a login up.
func get(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return false
	}
	return true
}
