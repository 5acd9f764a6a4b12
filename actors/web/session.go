package web

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

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

// begin opens a session; the oldest gives way when there are too many.
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
	if !body(w, r, &in) {
		return
	}
	want := s.AdminToken()
	if want.IsZero() {
		problem(w, http.StatusConflict, "no admin token set", "No ADMIN_TOKEN is set. Put ADMIN_TOKEN=<at least 32 characters> into the .env file and restart the server.", nil)
		return
	}
	if !s.admin.right(in.AdminToken, want) {
		s.admin.refuse(w, "This is not the ADMIN_TOKEN of the .env file.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: s.Board.sessions.begin(want, time.Now()), Path: "/", MaxAge: int(sessionLasts / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	w.WriteHeader(http.StatusNoContent)
}
