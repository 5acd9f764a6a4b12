package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/gateway/clients"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/scrub"
)

// How long a request may wait. The official clients give up after 7 s: every
// wait together is shorter.
const (
	mostHeld   = 6 * time.Second // all waits together
	budgetWait = 5 * time.Second // for the request budget; then 429
	orderWait  = time.Second     // of an order: a late one is worse than none
	tokenWait  = 3 * time.Second // of a GET whose token Kite refused, for newer ones
	proofWait  = 2 * time.Second // of a write, while a new token is being proven
	limitPause = time.Second     // after a 429 of Kite's, before a read is sent once more
	mostBody   = 1 << 20
)

// identity is the client behind a request.
type identity struct {
	clients.Record
	key messages.Secret
}

// rest answers a request of Kite's REST API.
func (g *Gateway) rest(w http.ResponseWriter, r *http.Request, id identity) {
	rt := routeOf(r.Method, r.URL.Path)
	began := time.Now()
	sw := &statusWriter{ResponseWriter: w, code: http.StatusOK}
	defer func() { g.cfg.Metrics.request(id.Name, rt.class, sw.code, time.Since(began)) }()
	if rt.local != nil {
		rt.local(g, sw, r, id)
		return
	}
	if !g.permit(sw, rt, id) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(sw, r.Body, mostBody))
	if err != nil {
		refuse(sw, http.StatusRequestEntityTooLarge, "InputException", "the body of a request has at most 1 MB")
		return
	}
	req := kite.Request{
		Class: rt.class, Method: r.Method, Target: r.URL.EscapedPath(), Body: body,
		ContentType: r.Header.Get("Content-Type"),
	}
	if r.URL.RawQuery != "" {
		req.Target += "?" + r.URL.RawQuery
	}
	keep := time.Duration(0)
	if rt.cached != nil && rt.repeatable() {
		keep = rt.cached(r, g.cfg.Clock.Now())
	}
	if a, ok := g.cache.get(req.Target); ok {
		g.reply(sw, r, a.Answer, a.generation, "cache", id)
		return
	}
	a, generation, source := g.ask(r.Context(), sw, rt, req, keep, id)
	if source != "" {
		g.reply(sw, r, a, generation, source, id)
	}
}

// permit answers a request that the client's scopes do not allow.
func (g *Gateway) permit(w http.ResponseWriter, rt route, id identity) bool {
	switch {
	case !id.Scopes.Has(rt.scope):
		scopes := append(append(clients.Scopes{}, id.Scopes...), rt.scope)
		words := make([]string, len(scopes))
		for i, s := range scopes {
			words[i] = string(s)
		}
		refuse(w, http.StatusForbidden, "PermissionException", fmt.Sprintf(
			"%s has no scope %s. Grant it on the server with: kitestring clients revoke %s, then kitestring clients add %s --scope %s",
			id.Name, rt.scope, id.Name, id.Name, strings.Join(words, ",")))
		return false
	case rt.scope == clients.ScopeOrders && !g.cfg.Orders():
		refuse(w, http.StatusForbidden, "PermissionException",
			"this kitestring passes no orders on. Allow them in its configuration file: {\"gateway\": {\"orders\": true}}")
		return false
	}
	return true
}

// ask asks Kite for a client; source is "" when the answer has been written.
func (g *Gateway) ask(ctx context.Context, w http.ResponseWriter, rt route, req kite.Request, keep time.Duration, id identity) (a kite.Answer, generation messages.Generation, source string) {
	wait := budgetWait
	if rt.class == kite.ClassOrder {
		wait = orderWait
	}
	patience, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	began := time.Now()
	done, err := g.queue.enter(patience, rt.class, id.Name)
	if err != nil {
		g.cfg.Metrics.exhausted(rt.class)
		refuse(w, http.StatusTooManyRequests, "NetworkException", "Too many requests: Kite's limit for "+string(rt.class)+" is shared by all programs of this kitestring")
		return a, 0, ""
	}
	defer done()
	if kept, ok := g.cache.get(req.Target); ok && keep > 0 { // somebody asked the same meanwhile
		return kept.Answer, kept.generation, "cache"
	}
	if !rt.repeatable() {
		g.awaitProof(patience)
	}
	if err := g.cfg.Exchange.Budget.Wait(patience, rt.class); err != nil {
		g.cfg.Metrics.exhausted(rt.class)
		refuse(w, http.StatusTooManyRequests, "NetworkException", "Too many requests: Kite's limit for "+string(rt.class)+" is shared by all programs of this kitestring")
		return a, 0, ""
	}
	g.cfg.Metrics.waited(rt.class, time.Since(began))
	// A refused read is sent again with each newer token, once each: tokens may
	// change faster than Kite answers.
	var tried messages.Generation
	var renewal context.Context // of the waits for newer tokens; begins at the first refusal
	limited := false            // Kite has answered 429 once
	for {
		s := g.cfg.Tokens.Current().Adopted
		if s.IsZero() {
			g.waitForLogin(w)
			return a, 0, ""
		}
		through := g.client(s)
		a, err = through.Forward(ctx, req)
		if body := plainBody(a); a.Status != http.StatusOK || bytes.Contains(body, []byte(s.Token.Reveal())) {
			a.Body, a.Encoding = hideInMessage(through.Hide(body)), ""
		}
		switch {
		case err != nil && !rt.repeatable() && kite.Sent(err):
			refuse(w, http.StatusGatewayTimeout, "NetworkException", "unknown whether Kite took it: look at /orders before you send it again")
			return a, 0, ""
		case err != nil && kite.KindOf(err) == kite.Retired && tried < s.Generation:
			tried = s.Generation
			continue // a newer token has been adopted this moment
		case err != nil:
			refuse(w, http.StatusBadGateway, "NetworkException", "Kite did not answer; nothing was changed. Ask again")
			return a, 0, ""
		case a.Status == http.StatusTooManyRequests && rt.repeatable() && !limited && g.afterLimit(ctx, rt, began):
			limited = true
			continue
		case !tokenException(a):
			if keep = min(keep, goodFor(a)); keep > 0 {
				g.cache.put(req.Target, a, s.Generation, keep)
			}
			return a, s.Generation, "kite"
		}
		g.doubt(s.Generation)
		if renewal == nil {
			until, cancel := context.WithDeadline(ctx, earlier(time.Now().Add(tokenWait), began.Add(mostHeld)))
			defer cancel()
			renewal = until
		}
		if !rt.repeatable() || !g.awaitNewer(renewal, s.Generation) || g.cfg.Exchange.Budget.Wait(renewal, rt.class) != nil {
			g.waitForLogin(w)
			return a, 0, ""
		}
	}
}

// afterLimit waits until a read may be sent once more that Kite has answered
// with 429: requests that were sent a second apart may arrive closer together.
// False: it would take too long.
func (g *Gateway) afterLimit(ctx context.Context, rt route, began time.Time) bool {
	ctx, cancel := context.WithDeadline(ctx, began.Add(mostHeld))
	defer cancel()
	pause := time.NewTimer(limitPause)
	defer pause.Stop()
	select {
	case <-pause.C:
		return g.cfg.Exchange.Budget.Wait(ctx, rt.class) == nil
	case <-ctx.Done():
		return false
	}
}

// hideInMessage takes what looks like a token, which may be one of earlier,
// out of the message of an error.
func hideInMessage(body []byte) []byte {
	var envelope map[string]json.RawMessage
	var message string
	if json.Unmarshal(body, &envelope) != nil || json.Unmarshal(envelope["message"], &message) != nil {
		return body
	}
	hidden, err := json.Marshal(scrub.New().Hide(message))
	if err != nil {
		return body
	}
	envelope["message"] = hidden
	out, err := json.Marshal(envelope)
	if err != nil {
		return body
	}
	return out
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// tokenException reports whether Kite refused the token. It never reaches a
// program: Python, JavaScript, Java and .NET would log in again by themselves.
func tokenException(a kite.Answer) bool {
	if a.Status != http.StatusForbidden {
		return false
	}
	var said struct {
		Type string `json:"error_type"`
	}
	return json.Unmarshal(plainBody(a), &said) == nil && said.Type == "TokenException"
}

func (g *Gateway) waitForLogin(w http.ResponseWriter) {
	refuse(w, http.StatusServiceUnavailable, "NetworkException", "kitestring waits for today's login: "+g.cfg.LoginURL())
}

// reply writes Kite's answer as its clients need it: exactly application/json
// or text/csv, and an envelope whatever a proxy has said.
func (g *Gateway) reply(w http.ResponseWriter, r *http.Request, a kite.Answer, generation messages.Generation, source string, id identity) {
	h := w.Header()
	h.Set("X-Kitestring-Generation", strconv.FormatUint(uint64(generation), 10))
	h.Set("X-Kitestring-Source", source)
	g.cfg.Metrics.source(source)
	switch {
	case a.Status == http.StatusOK && strings.HasPrefix(a.ContentType, "text/csv"):
		h.Set("Content-Type", "text/csv")
		if a.ETag != "" {
			h.Set("ETag", a.ETag)
		}
		if a.ETag != "" && r.Header.Get("If-None-Match") == a.ETag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if a.Encoding == "gzip" && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			_, _ = w.Write(a.Body)
			return
		}
		_, _ = w.Write(plainBody(a))
	case a.Status == http.StatusTooManyRequests:
		refuse(w, a.Status, "NetworkException", "Too many requests")
	case !json.Valid(plainBody(a)):
		refuse(w, max(a.Status, http.StatusBadGateway), "NetworkException", fmt.Sprintf("Kite answered %d without JSON", a.Status))
	default:
		body := plainBody(a)
		if r.URL.Path == "/user/profile" && !id.Scopes.Has(clients.ScopeAccount) {
			body = anonymous(body)
		}
		h.Set("Content-Type", "application/json")
		w.WriteHeader(a.Status)
		_, _ = w.Write(body)
	}
}

// plainBody is an answer's body without compression, nil when it cannot be read.
func plainBody(a kite.Answer) []byte {
	if a.Encoding != "gzip" {
		return a.Body
	}
	z, err := gzip.NewReader(bytes.NewReader(a.Body))
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(z, 256<<20))
	if err != nil {
		return nil
	}
	return body
}

// anonymous takes the person out of a profile.
func anonymous(body []byte) []byte {
	var envelope struct {
		Status string         `json:"status"`
		Data   map[string]any `json:"data"`
	}
	if json.Unmarshal(body, &envelope) != nil || envelope.Data == nil {
		return body // an error of Kite's
	}
	for _, field := range []string{"email", "user_name", "user_shortname", "avatar_url"} {
		if _, has := envelope.Data[field]; has {
			envelope.Data[field] = ""
		}
	}
	out, err := json.Marshal(envelope)
	if err != nil {
		return body
	}
	return out
}

// refuse answers with an error in Kite's envelope.
func refuse(w http.ResponseWriter, code int, kind, message string) {
	body, _ := json.Marshal(struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Data    any    `json:"data"`
		Type    string `json:"error_type"`
	}{"error", message, nil, kind}) // strings always marshal
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

func succeed(w http.ResponseWriter, data any) {
	body, err := json.Marshal(struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{"success", data})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "GeneralException", "the answer could not be encoded")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// startSession is a program's login, answered here: forwarded, it would end
// everybody's session. The local key is both request token and API secret, so
// the checksum is SHA-256(api_key + key + key); the session's access token is
// the key itself.
func (g *Gateway) startSession(w http.ResponseWriter, r *http.Request, _ identity) {
	apiKey, requestToken, checksum := r.PostFormValue("api_key"), r.PostFormValue("request_token"), r.PostFormValue("checksum")
	rec, ok := g.cfg.Clients.Find(messages.NewSecret(requestToken))
	sum := sha256.Sum256([]byte(apiKey + requestToken + requestToken))
	if !ok || subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(strings.ToLower(checksum))) != 1 {
		if !g.wrongKey(r) {
			refuse(w, http.StatusTooManyRequests, "NetworkException", "too many wrong keys: wait a minute")
			return
		}
		refuse(w, http.StatusForbidden, "TokenException", "give the key of \"kitestring clients add\" as request token and as API secret")
		return
	}
	succeed(w, map[string]any{
		"user_id": rec.Name, "user_name": rec.Name, "user_shortname": rec.Name, "user_type": "individual", "email": "", "broker": "ZERODHA",
		"exchanges": []string{}, "products": []string{}, "order_types": []string{}, "avatar_url": nil, "meta": map[string]string{"demat_consent": ""},
		"api_key": apiKey, "access_token": requestToken, "public_token": "", "enctoken": "", "refresh_token": "", "silo": "",
		"login_time": g.cfg.Clock.Now().In(ist.Zone).Format(ist.Layout),
	})
}

// endSession says yes and does nothing: one program's logout must not end the
// session of all.
func (g *Gateway) endSession(w http.ResponseWriter, _ *http.Request, _ identity) { succeed(w, true) }

func (g *Gateway) refreshSession(w http.ResponseWriter, _ *http.Request, _ identity) {
	refuse(w, http.StatusBadRequest, "InputException", "there is nothing to refresh: the key of \"kitestring clients add\" stays good until it is revoked")
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusWriter) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}
