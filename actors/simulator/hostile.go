package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages/wire"
)

// socketFault is what an open socket does instead of its work; nil: nothing.
type socketFault struct {
	kind          FaultKind
	variant, text string
}

// withholds reports whether no message leaves; mutes, whether no pong either.
func (f *socketFault) withholds() bool {
	return f.mutes() || f != nil && f.kind == FaultPongOnly
}
func (f *socketFault) mutes() bool { return f != nil && f.kind == FaultMute }

var always = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// floods is ready whenever a flood wants to write.
func (f *socketFault) floods() <-chan struct{} {
	if f != nil && (f.kind == FaultTextFlood || f.kind == FaultOrderFlood) {
		return always
	}
	return nil // blocks for ever
}

// instead sends each second what a socket without messages sends.
func (s *socket) instead() error {
	f := s.fault.Load()
	fragments := f != nil && f.kind == FaultPongOnly && f.variant == "fragments"
	switch {
	case fragments:
		// One byte of a binary message, then one of its continuation, never its end.
		first := byte(0x00)
		if !s.fragmented {
			first, s.fragmented = 0x02, true
		}
		return s.raw([]byte{first, 1, 0})
	case f != nil && f.kind == FaultPongOnly && f.variant == "ping":
		return s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout))
	}
	return nil
}

func (s *socket) raw(b []byte) error {
	conn := s.conn.NetConn()
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := conn.Write(b)
	return err
}

// flood writes one text of a flood.
func (s *socket) flood() error {
	f := s.fault.Load()
	if f == nil {
		return nil
	}
	s.flooded++
	text := f.text
	switch {
	case f.kind == FaultOrderFlood:
		text = fmt.Sprintf(`{"type":"order","data":{"order_id":"9%014d","status":"COMPLETE","exchange":"NSE","tradingsymbol":"INFY","instrument_token":408065,`+
			`"transaction_type":"BUY","order_type":"MARKET","product":"CNC","quantity":1,"filled_quantity":1,"pending_quantity":0,"average_price":1480.5,"checksum":""}}`, s.flooded)
	case text == "":
		text = string(wire.AppendText(nil, wire.Text{Type: wire.TextMessage, Data: fmt.Appendf(nil, `"flood %d"`, s.flooded)}))
	}
	return s.message(websocket.TextMessage, []byte(text))
}

// echoes are answers to an upgrade that repeat the request line, access token
// included, as captive portals, proxies and load balancers do.
var echoes = map[string]string{
	"header":            "HTTP/1.1 502 Bad Gateway\r\n%s\r\n\r\n",
	"header_value":      "HTTP/1.1 502 Bad Gateway\r\nX-Request: %s\r\nContent-Length: 0\r\n\r\n",
	"content_length":    "HTTP/1.1 502 Bad Gateway\r\nContent-Length: %s\r\n\r\n",
	"transfer_encoding": "HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: %s\r\n\r\n",
	"status_line":       "HTTP/1.1 %s\r\n\r\n",
	"protocol":          "%s\r\n\r\n",
	"location":          "HTTP/1.1 302 Found\r\nLocation: http://portal.invalid/?from=%s\r\nContent-Length: 0\r\n\r\n",
	"body":              "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nrefused: %s\r\n",
	"accept":            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
}

// EchoVariants names the variants of FaultEchoUpgrade; "header" is the default.
func EchoVariants() []string { return slices.Sorted(maps.Keys(echoes)) }

// hostileUpgrade answers an upgrade as a fault wants it, as no exchange does;
// true when it did.
func (e *Exchange) hostileUpgrade(w http.ResponseWriter, r *http.Request) bool {
	echo, endless := e.take(FaultEchoUpgrade, ""), (*Fault)(nil)
	if echo == nil {
		endless = e.take(FaultEndlessUpgrade, "")
	}
	if echo == nil && endless == nil {
		return false
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		e.log.Error("simulator could not take over the connection", "error", err)
		return true
	}
	defer conn.Close()
	e.mu.Lock()
	if echo != nil {
		e.counts.refusedUpgrades["fault_echo_upgrade"]++
	} else {
		e.counts.refusedUpgrades["fault_endless_upgrade"]++
	}
	e.handlers++
	e.hostile[conn] = struct{}{}
	if e.closing > 0 {
		conn.Close()
	}
	e.mu.Unlock()
	defer e.handlerEnded()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.hostile, conn)
	}()
	_ = conn.SetDeadline(time.Now().Add(maxHold))
	if echo != nil {
		answer := echoes[echo.Variant]
		if answer == "" {
			answer = echoes["header"]
		}
		_, _ = fmt.Fprintf(conn, answer, "GET "+r.URL.RequestURI()+" HTTP/1.1") // the client went away
		return true
	}
	head, filler := "HTTP/1.1 200 OK\r\n", "X-Filler: "+strings.Repeat("a", 1000)+"\r\n"
	switch endless.Variant {
	case "status_line":
		head, filler = "HTTP/1.1 200 ", strings.Repeat("a", 1000)
	case "body":
		head, filler = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\n", strings.Repeat("a", 1000)
	}
	for _, err = conn.Write([]byte(head)); err == nil; {
		_, err = conn.Write([]byte(filler))
	}
	return true
}
