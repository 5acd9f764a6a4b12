package web

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/actors/web/guard"
	"kitestring/messages"
)

// Which request may do what. Reading is open to everything that reaches the
// listener, which is loopback unless an admin token is set. What changes
// something needs the admin token as a bearer; in the sim profile on loopback
// it is open while no token is set, in live it is closed then.
//
// A page of another site can reach the listener through the user's browser.
// The Host allow-list stops names that were rebound to this machine,
// CrossOriginProtection stops what another origin sends, and Sec-Fetch-Site
// stops its images and frames at the two pages of the login, which are GETs
// (https://www.w3.org/TR/fetch-metadata/).

// probes are the routes that programs ask by whatever name the server has,
// where it can be reached from other machines: a kubelet by the pod's address,
// Prometheus by the container's name. They hold nothing that a page of another
// site could use.
var probes = []string{"/healthz", "/readyz", "/metrics"}

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
		if !s.hostAllowed(r) {
			writeProblem(w, http.StatusMisdirectedRequest, "unknown host", "This server does not answer to that host name. Use the address that it printed at its start, or put DASHBOARD_URL=http://<this name>:<port>/ into the .env file.", s.hosts(r))
			return
		}
		limitTimes(w, r)
		next.ServeHTTP(w, r)
	})
}

// Times that a client has. A request body is small, and so is every response
// but a stream and a profile, which set their own.
const (
	bodyTimeout     = 5 * time.Second
	responseTimeout = 30 * time.Second
)

// limitTimes bounds how long a client may take to send its body and to read
// the response: net/http waits for both without end.
func limitTimes(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	if r.ContentLength != 0 {
		_ = out.SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	_ = out.SetWriteDeadline(time.Now().Add(responseTimeout))
}

// hostAllowed reports whether the Host of a request is a name of this server.
func (s *server) hostAllowed(r *http.Request) bool {
	host := strings.ToLower(guard.HostOf(r.Host))
	if guard.IsLoopback(host) || slices.Contains(s.hosts(r), host) {
		return true
	}
	return s.exposed && slices.Contains(probes, r.URL.Path)
}

// hosts are the names of this server: localhost, the address that the client
// has reached (so that each address of each interface counts, and no other),
// and the host of DASHBOARD_URL.
func (s *server) hosts(r *http.Request) []string {
	hosts := []string{"localhost", localAddress(r)}
	if u, err := url.Parse(s.DashboardURL()); err == nil && u.Hostname() != "" {
		hosts = append(hosts, strings.ToLower(u.Hostname()))
	}
	return hosts
}

// localAddress is the address of this machine on which the connection ends.
func localAddress(r *http.Request) string {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return guard.HostOf(a.String())
	}
	return ""
}

// PageURL is an address of the dashboard that a browser on this machine can
// open: nothing opens 0.0.0.0.
func PageURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		listen = net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + listen + "/"
}

// fromHere lets a request to the login's first page through unless another
// site's page makes it: an image tag would begin a login, and in the sim
// profile finish it. A link on another page leads to the dashboard instead,
// where the person presses Log in.
func fromHere(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case site == "" || site == "none" || site == "same-origin":
			next(w, r)
		case topLevel(r):
			http.Redirect(w, r, "/", http.StatusSeeOther)
		default:
			writeProblem(w, http.StatusForbidden, "cross-origin request", "A login begins on the dashboard, not on another site's page.", nil)
		}
	}
}

// byKite lets a request to the login's last page through unless it is part of
// another page: Kite sends the whole window here.
func byKite(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" && !topLevel(r) {
			writeProblem(w, http.StatusForbidden, "cross-origin request", "A login ends in a window of its own, not inside another site's page.", nil)
			return
		}
		next(w, r)
	}
}

// topLevel reports whether a browser loads the page of a whole window or tab.
func topLevel(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// admission decides about requests that change something.
type admission struct{ cfg Config }

// admit wraps a handler of an admin route.
func (a *admission) admit(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		want := a.cfg.AdminToken()
		if want.IsZero() {
			if a.cfg.Profile == "sim" && guard.IsLoopback(guard.HostOf(r.RemoteAddr)) {
				next(w, r)
				return
			}
			writeProblem(w, http.StatusForbidden, "no admin token set", "This changes something, and no ADMIN_TOKEN is set. "+setAdminToken, nil)
			return
		}
		if c, err := r.Cookie(sessionCookie); err == nil && a.cfg.Store.sessions.Holds(c.Value, want, time.Now()) {
			next(w, r)
			return
		}
		got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			unauthorized(w, "Send the header Authorization: Bearer <ADMIN_TOKEN of the .env file>.")
			return
		}
		if a.matches(w, r, got, want) {
			next(w, r)
		}
	}
}

const (
	setAdminToken = "Put ADMIN_TOKEN=<at least 32 characters> into the .env file and restart the server."
	minAdminToken = 32
)

// matches reports whether an admin token is the right one; otherwise it
// answers the request.
func (a *admission) matches(w http.ResponseWriter, r *http.Request, got string, want messages.Secret) bool {
	if len(want.Reveal()) < minAdminToken {
		writeProblem(w, http.StatusForbidden, "admin token too short", "The ADMIN_TOKEN of the .env file is shorter than 32 characters and does not count. "+setAdminToken, nil)
		return false
	}
	right, counted := a.cfg.Store.guesses.Try(guard.HostOf(r.RemoteAddr), func() bool {
		return subtle.ConstantTimeCompare([]byte(got), []byte(want.Reveal())) == 1
	})
	switch {
	case !counted:
		w.Header().Set("Retry-After", "60")
		writeProblem(w, http.StatusTooManyRequests, "too many wrong admin tokens", "Five wrong tokens came from this address within a minute: no token is looked at now. Wait a minute, then send the right one. A browser that is logged in is not affected.", nil)
	case !right:
		unauthorized(w, "This is not the ADMIN_TOKEN of the .env file.")
	}
	return right
}

func unauthorized(w http.ResponseWriter, detail string) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	writeProblem(w, http.StatusUnauthorized, "admin token needed", detail, nil)
}

// sessionCookie is how a browser is known that has shown the admin token.
const sessionCookie = "kitestring_session"

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
	if !s.admin.matches(w, r, in.AdminToken, want) {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: s.Store.sessions.Begin(want, time.Now()), Path: "/", MaxAge: int(guard.SessionLasts / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	w.WriteHeader(http.StatusNoContent)
}

// scrubbed wraps a handler whose responses pass the gate.
func (s *server) scrubbed(next http.HandlerFunc) http.HandlerFunc {
	hide := func(data []byte) []byte { return s.gate.Hide(data, s.Secrets()) }
	return func(w http.ResponseWriter, r *http.Request) { next(guard.Response(w, hide), r) }
}
