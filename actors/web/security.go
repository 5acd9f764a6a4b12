package web

import (
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

// Which request may do what. Reading is open to everything that reaches the
// listener, which is loopback unless an admin token is set. What changes
// something needs the admin token as a bearer; in the sim profile on loopback
// it is open while no token is set, in live it is closed then. A page of
// another site can reach a listener on loopback through the user's browser:
// the Host allow-list stops names that were rebound to 127.0.0.1,
// CrossOriginProtection stops requests that another origin makes.

// guard wraps next in the headers and checks that every response needs.
func (s *server) guard(next http.Handler) http.Handler {
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusForbidden, "cross-origin request", "This request came from another site's page. Open the dashboard itself and try again.", nil)
	}))
	next = csrf.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if !s.hostAllowed(r.Host) {
			writeProblem(w, http.StatusMisdirectedRequest, "unknown host", "This server does not answer to that host name. Use the address that it printed at its start.", s.Hosts)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) hostAllowed(hostport string) bool {
	host := strings.ToLower(hostOf(hostport))
	return host == "localhost" || slices.Contains(s.Hosts, host) || isLoopback(host)
}

// hostOf is a Host header or a remote address without its port.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.Trim(host, "[]")
}

func isLoopback(host string) bool {
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
			if a.cfg.Profile == "sim" && isLoopback(hostOf(r.RemoteAddr)) {
				next(w, r)
				return
			}
			writeProblem(w, http.StatusForbidden, "no admin token set", "This changes something, and no ADMIN_TOKEN is set. "+setAdminToken, nil)
			return
		}
		if c, err := r.Cookie(sessionCookie); err == nil && a.cfg.Store.sessions.holds(c.Value, want, time.Now()) {
			next(w, r)
			return
		}
		got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			unauthorized(w, "Send the header Authorization: Bearer <ADMIN_TOKEN of the .env file>.")
			return
		}
		if a.matches(w, got, want) {
			next(w, r)
		}
	}
}

const setAdminToken = "Put ADMIN_TOKEN=<at least 32 characters> into the .env file and restart the server."

// matches reports whether an admin token is the right one; otherwise it
// answers the request, and slows guessing down.
func (a *admission) matches(w http.ResponseWriter, got string, want messages.Secret) bool {
	if subtle.ConstantTimeCompare([]byte(got), []byte(want.Reveal())) == 1 {
		return true
	}
	if a.failed.Allow() {
		unauthorized(w, "This is not the ADMIN_TOKEN of the .env file.")
	} else {
		writeProblem(w, http.StatusTooManyRequests, "too many wrong admin tokens", "Wait a minute, then send the right one.", nil)
	}
	return false
}

func unauthorized(w http.ResponseWriter, detail string) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	writeProblem(w, http.StatusUnauthorized, "admin token needed", detail, nil)
}

// A browser shows the admin token once and is known by a cookie from then on:
// a page's script cannot read it, and no other site's page can make use of it.
const (
	sessionCookie = "kitestring_session"
	sessionLasts  = 12 * time.Hour
	sessionLimit  = 64 // browsers at a time
)

// sessions are the browsers that have shown the admin token. Safe for
// concurrent use.
type sessions struct {
	mu   sync.Mutex
	list []session
}

type session struct {
	id     string
	secret messages.Secret // the admin token that it was opened with: another one ends it
	until  time.Time
}

// begin opens a session; beyond the limit the oldest ends.
func (s *sessions) begin(secret messages.Secret, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == sessionLimit {
		s.list = s.list[1:]
	}
	id := rand.Text() + rand.Text()
	s.list = append(s.list, session{id, secret, now.Add(sessionLasts)})
	return id
}

func (s *sessions) holds(id string, secret messages.Secret, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := false
	for _, o := range s.list {
		if subtle.ConstantTimeCompare([]byte(o.id), []byte(id)) == 1 {
			found = o.secret.Equal(secret) && now.Before(o.until)
		}
	}
	return found
}

// openSession is POST /api/v1/session.
func (s *server) openSession(w http.ResponseWriter, r *http.Request) {
	var in api.AdminSession
	if !decodeBody(w, r, &in) {
		return
	}
	want := s.AdminToken()
	if want.IsZero() {
		writeProblem(w, http.StatusConflict, "no admin token set", "No ADMIN_TOKEN is set. "+setAdminToken, nil)
		return
	}
	if !s.admin.matches(w, in.AdminToken, want) {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: s.Store.sessions.begin(want, time.Now()), Path: "/", MaxAge: int(sessionLasts / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	w.WriteHeader(http.StatusNoContent)
}
