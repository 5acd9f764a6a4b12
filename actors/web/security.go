package web

import (
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"kitestring/messages"
)

// Who may do what. Reading is open to whoever reaches the listener, which is
// loopback unless an admin token is set. What changes something needs the
// admin token as a bearer; in the sim profile on loopback it is open while no
// token is set, in live it is closed then. A page of another site can reach
// a listener on loopback through the user's browser: the Host allow-list
// stops names that were rebound to 127.0.0.1, CrossOriginProtection stops
// requests that another origin makes.

// guard puts the headers and checks that every answer needs round next.
func (s *server) guard(next http.Handler) http.Handler {
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusForbidden, "cross-origin request", "This request came from another site's page. Open the dashboard itself and try again.", nil)
	}))
	next = csrf.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if !s.hostAllowed(r.Host) {
			problem(w, http.StatusMisdirectedRequest, "unknown host", "This server does not answer to that host name. Use the address that it printed at its start.", s.Hosts)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) hostAllowed(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || slices.Contains(s.Hosts, host) {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// admission decides about requests that change something.
type admission struct {
	cfg    Config
	failed *rate.Limiter // wrong tokens: 5 a minute
}

func newAdmission(cfg Config) *admission {
	return &admission{cfg: cfg, failed: rate.NewLimiter(rate.Limit(5.0/60), 5)}
}

// admit wraps a handler of an admin route.
func (a *admission) admit(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		want := a.cfg.AdminToken()
		if want.IsZero() {
			if a.cfg.Profile == "sim" && fromLoopback(r) {
				next(w, r)
				return
			}
			problem(w, http.StatusForbidden, "no admin token set", "This changes something, and no ADMIN_TOKEN is set. Put ADMIN_TOKEN=<at least 32 characters> into the .env file and restart the server.", nil)
			return
		}
		if c, err := r.Cookie(sessionCookie); err == nil && a.cfg.Board.sessions.holds(c.Value, want, time.Now()) {
			next(w, r)
			return
		}
		got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			unadmitted(w, "Send the header Authorization: Bearer <ADMIN_TOKEN of the .env file>.")
			return
		}
		if !a.right(got, want) {
			a.refuse(w, "This is not the ADMIN_TOKEN of the .env file.")
			return
		}
		next(w, r)
	}
}

func (a *admission) right(got string, want messages.Secret) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want.Reveal())) == 1
}

// refuse answers a wrong admin token, and slows guessing down.
func (a *admission) refuse(w http.ResponseWriter, detail string) {
	if !a.failed.Allow() {
		problem(w, http.StatusTooManyRequests, "too many wrong admin tokens", "Wait a minute, then send the right one.", nil)
		return
	}
	unadmitted(w, detail)
}

func unadmitted(w http.ResponseWriter, detail string) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	problem(w, http.StatusUnauthorized, "admin token needed", detail, nil)
}

func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
