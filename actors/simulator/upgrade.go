package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

type refusal struct {
	status int
	body   string
}

// admit decides about an upgrade as Kite does; only here is a token looked at.
func (e *Exchange) admit(r *http.Request) (messages.AccessToken, *refusal) {
	query := r.URL.Query()
	token := messages.NewAccessToken(query.Get("access_token"))
	reason, no := e.judge(r, query, token)
	e.mu.Lock()
	defer e.mu.Unlock()
	if no == nil && e.slots+e.faults.ghosts() >= maxSockets {
		reason, no = "too_many", &refusal{http.StatusTooManyRequests, "Too many requests"}
	}
	if no == nil && e.closing > 0 {
		reason, no = "closing", &refusal{http.StatusServiceUnavailable, "Service unavailable"}
	}
	if no != nil {
		e.counts.refusedUpgrades[reason]++
		return token, no
	}
	e.slots++
	e.handlers++
	e.counts.upgrades++
	return token, nil
}

func (e *Exchange) judge(r *http.Request, query url.Values, token messages.AccessToken) (string, *refusal) {
	if f := e.strike(FaultSlowUpgrade, ""); f != nil {
		f.wait(r.Context())
	}
	switch {
	case e.strike(FaultForbidden, "") != nil:
		return "fault_forbidden", &refusal{http.StatusForbidden, "Authentication failed"}
	case e.strike(FaultTooMany, "") != nil:
		return "fault_too_many", &refusal{http.StatusTooManyRequests, "Too many requests"}
	case query.Get("api_key") == "" || token.IsZero():
		return "bad_request", &refusal{http.StatusBadRequest, "Missing api_key or access_token"}
	}
	if f := e.strike(FaultServerError, ""); f != nil {
		return "fault_server_error", &refusal{f.status(http.StatusServiceUnavailable), "Service unavailable"}
	}
	if query.Get("api_key") != e.cfg.APIKey || !e.sessions.valid(token) {
		return "forbidden", &refusal{http.StatusForbidden, "Authentication failed"}
	}
	return "", nil
}

func (e *Exchange) enroll(s *socket, token messages.AccessToken) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.socketID++
	s.id = e.socketID
	print := token.Fingerprint()
	if e.tokens[print] == nil {
		e.tokens[print] = &tokenCount{fingerprint: print}
	}
	s.token = e.tokens[print]
	e.sockets[s] = struct{}{}
	if e.closing > 0 { // which did not see it
		s.conn.NetConn().Close()
	}
	e.faults.apply(e)
	if e.cfg.QuietOpen {
		return
	}
	meta, _ := json.Marshal(map[string]any{"count": len(e.book.list), "etag": e.etag()})
	for _, t := range []wire.Text{
		{Type: wire.TextInstrumentsMeta, Data: meta},
		{Type: wire.TextAppCode, Timestamp: e.clock.Now().In(ist.Zone).Format(time.RFC3339)},
	} {
		e.push(s, message(websocket.TextMessage, wire.AppendText(nil, t)))
	}
}
