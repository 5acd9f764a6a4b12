package peers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"

	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/scrub"
)

const (
	// talkLasts bounds a conversation: Kite is asked in it.
	talkLasts = 10 * time.Second
	// greetLasts bounds what one must do to be known: a connection, the
	// handshake and the first frame.
	greetLasts = 5 * time.Second
	mostToken  = 512
)

// talk is one conversation: a connection inside TLS, and what this side has.
type talk struct {
	*Config
	id   identity
	conn io.ReadWriteCloser
	now  func() time.Time
}

// secured puts TLS on a connection, which ends with ctx.
func (c *Config) secured(ctx context.Context, id identity, raw net.Conn, side func(net.Conn, *tls.Config) *tls.Conn, admit func(fingerprint) error) (t talk, pin fingerprint, err error) {
	_ = raw.SetDeadline(time.Now().Add(greetLasts))
	conn := side(raw, id.tls(admit))
	if err := conn.HandshakeContext(ctx); err != nil {
		return t, pin, err
	}
	t = talk{Config: c, id: id, conn: conn, now: c.Store.now}
	if c.Observe != nil {
		t.conn = observed{conn, c.Observe}
	}
	return t, pinOf(conn.ConnectionState()), nil
}

// observed shows a test what is written inside TLS.
type observed struct {
	io.ReadWriteCloser
	show func([]byte)
}

func (o observed) Write(p []byte) (int, error) {
	o.show(p)
	return o.ReadWriteCloser.Write(p)
}

// dial connects to an address, to the one certificate that is expected there.
func (c *Config) dial(ctx context.Context, id identity, addr string, want fingerprint) (t talk, end func(), err error) {
	raw, err := (&net.Dialer{Timeout: greetLasts}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return t, nil, unreachable(addr, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	end = func() { stop(); _ = raw.Close() }
	t, _, err = c.secured(ctx, id, raw, tls.Client, func(pin fingerprint) error {
		if pin != want {
			return &foreignError{addr, want, pin}
		}
		return nil
	})
	if err != nil {
		end()
		return t, nil, broken(addr, err)
	}
	_ = raw.SetDeadline(time.Now().Add(talkLasts))
	return t, end, nil
}

// foreignError says that another certificate is shown than the enrolled one.
type foreignError struct {
	addr      string
	want, got fingerprint
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("%s shows a foreign certificate (%s, enrolled is %s): another program answers there, or the other server has lost its state directory. If it is the right one, \"kitestring peer remove\" on both and enrol again", e.addr, e.got, e.want)
}

// unreachable says why nothing answers.
func unreachable(addr string, err error) error {
	why := "it does not answer: is the server running, and does its firewall let this machine through?"
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nothing listens there: start the other server with --peer-addr, or wait until it runs again"
	case errors.As(err, &dns):
		why = "the name is not known: correct it where the code was made (kitestring peer invite --reach)"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		why = "no way leads there: is the VPN up?"
	}
	return fmt.Errorf("the other server cannot be reached at %s: %s", addr, why)
}

// broken says why a conversation ended early.
func broken(addr string, err error) error {
	var foreign *foreignError
	var refused *refusal
	switch {
	case errors.As(err, &foreign):
		return foreign
	case errors.As(err, &refused):
		return fmt.Errorf("the other server refuses: %s", refused.reason)
	case errors.Is(err, errRubbish):
		return fmt.Errorf("%s: %w", addr, errRubbish)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the other server at %s stopped answering in the middle: it stands still, or the way to it is cut", addr)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the connection to the other server at %s was cut in the middle; it is tried again", addr)
	case errors.As(err, new(tls.RecordHeaderError)):
		return fmt.Errorf("%s: %w", addr, errRubbish)
	}
	return fmt.Errorf("the conversation with the other server at %s failed: %s", addr, scrub.Text(err.Error()))
}

func (t talk) hello() hello {
	return hello{Protocol: protocol, Version: t.Version, Name: machine(), Now: t.now(), Token: t.Store.token(t.Local())}
}

func machine() string {
	name, _ := os.Hostname()
	return cmp.Or(name, "unnamed")
}

// call is the conversation of the side that connects.
func (c *Config) call(ctx context.Context, p *Peer) (outcome, error) {
	id, err := c.Store.identity()
	if err != nil {
		return outcome{}, err
	}
	t, end, err := c.dial(ctx, id, p.Addr, p.pin)
	if err != nil {
		return outcome{}, err
	}
	defer end()
	mine, began := t.hello(), t.now()
	if err := writeFrame(t.conn, frame{Hello: &mine}); err != nil {
		return outcome{}, broken(p.Addr, err)
	}
	f, err := readFrame(t.conn)
	if err != nil {
		return outcome{}, broken(p.Addr, err)
	}
	took := t.now().Sub(began)
	if f.Hello == nil {
		return outcome{}, broken(p.Addr, errRubbish)
	}
	if err := f.Hello.check(); err != nil {
		return outcome{}, err
	}
	o, err := t.trade(ctx, p, mine, *f.Hello, began.Add(took/2))
	if err != nil {
		return outcome{}, broken(p.Addr, err)
	}
	return o, nil
}

// trade moves a token, if one is to move.
func (t talk) trade(ctx context.Context, p *Peer, mine, theirs hello, received time.Time) (outcome, error) {
	o := outcome{theirs: theirs.Token, name: p.Name, version: theirs.Version, clockOff: theirs.Now.Sub(received).Round(time.Millisecond)}
	o.moved, o.reason = compare(mine.Token, theirs.Token)
	switch o.moved {
	case send:
		o.token = mine.Token.Fingerprint
		box, err := t.seal(p, mine.Token)
		if err != nil {
			return o, err
		}
		if err := writeFrame(t.conn, frame{Sealed: box}); err != nil {
			return o, err
		}
		f, err := readFrame(t.conn)
		switch {
		case err != nil:
			return o, err
		case f.Result == nil:
			return o, errRubbish
		}
		o.ok, o.refused, o.reason = f.Result.OK, f.Result.Refused, scrub.Text(f.Result.Reason)
	case receive:
		o.token = theirs.Token.Fingerprint
		f, err := readFrame(t.conn)
		switch {
		case err != nil:
			return o, err
		case f.Sealed == nil:
			return o, errRubbish
		}
		r, local := t.take(ctx, f.Sealed, theirs.Token)
		o.ok, o.refused, o.reason = r.OK, r.Refused, cmp.Or(local, r.Reason)
		return o, writeFrame(t.conn, frame{Result: &r})
	case same, nothing, wait, doubt, apart:
	}
	return o, nil
}

// seal encrypts the token that mine describes to the peer's key.
func (t talk) seal(p *Peer, mine Token) (*sealed, error) {
	session := t.Local().Session
	if session.Token.Fingerprint() != mine.Fingerprint {
		return nil, io.ErrUnexpectedEOF // it has changed in this moment: the next comparison sends the newer one
	}
	var box bytes.Buffer
	w, err := age.Encrypt(&box, p.recipient)
	if err == nil {
		_, err = io.WriteString(w, session.Token.Reveal())
	}
	if err == nil {
		err = w.Close()
	}
	return &sealed{Fingerprint: mine.Fingerprint, AgeMS: mine.AgeMS, Box: box.Bytes()}, err
}

// take checks a token of the peer's, asks Kite about it, and only then writes it
// into the .env file. local is what only this server should say.
func (t talk) take(ctx context.Context, box *sealed, theirs Token) (r result, local string) {
	t.Store.taking.Lock()
	defer t.Store.taking.Unlock()
	no := func(reason string) result { return result{Reason: reason} }
	opened, err := age.Decrypt(bytes.NewReader(box.Box), t.id.age)
	if err != nil {
		return no("the token is sealed to another key than this server's: \"kitestring peer remove\" on both, then enrol again"), ""
	}
	text, err := io.ReadAll(io.LimitReader(opened, mostToken+1))
	token := messages.NewAccessToken(string(text))
	switch {
	case err != nil || len(text) > mostToken || token.IsZero():
		return no("what is sealed is no token"), ""
	case token.Fingerprint() != box.Fingerprint || box.Fingerprint != theirs.Fingerprint:
		return no("another token is sealed than the one that was announced"), ""
	case t.Store.refuses(box.Fingerprint):
		return result{Refused: true, Reason: "Kite has refused it here before"}, ""
	}
	now := t.Local()
	switch {
	case now.Pending:
		return no("a newer token in the .env file is being checked here"), ""
	case now.Session.Token.Equal(token):
		return result{OK: true}, "" // it has come another way meanwhile
	}
	if last, paused := t.Store.paused(box.Fingerprint); paused {
		return last.result, last.local
	}
	r, local = t.keep(ctx, token, now, box)
	t.Store.tried(box.Fingerprint, r, local)
	return r, local
}

// keep asks Kite about a token of the peer's, and writes it into the .env file
// when Kite accepts it.
func (t talk) keep(ctx context.Context, token messages.AccessToken, now Local, box *sealed) (r result, local string) {
	no := func(reason string) result { return result{Reason: reason} }
	profile, err := kite.New(t.Exchange, messages.Session{APIKey: now.APIKey, Token: token}, func(messages.Generation) {}).Profile(ctx)
	switch {
	case kite.KindOf(err) == kite.TokenRefused:
		t.Store.refuse(box.Fingerprint)
		return result{Refused: true, Reason: "Kite refuses it (" + kite.Said(err) + "); the .env file is left as it was"}, ""
	case err != nil:
		return no("Kite could not be asked about it, and the .env file is left as it was; it is tried again"), "Kite could not be asked about it (" + kite.Reason(err) + "); it is tried again"
	case now.Account != "" && profile.UserID != "" && profile.UserID != now.Account:
		return no("it is of another account than this server's: log in with the same one on both"), ""
	}
	t.Store.took(box.Fingerprint, time.Duration(min(max(0, box.AgeMS), maxAge.Milliseconds()))*time.Millisecond)
	if err := t.Write(ctx, token); err != nil {
		return no("the .env file there could not be written; its log says why"), scrub.New(token.Secret).Line(err.Error(), mostText)
	}
	return result{OK: true}, ""
}

// maxAge bounds what a peer may say of a token's age.
const maxAge = 7 * 24 * time.Hour

// answer is the conversation of the side that listens. An error is a fault of
// the enrolled peer's, or nil: strangers are answered and forgotten.
func (c *Config) answer(ctx context.Context, raw net.Conn) (*outcome, error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() { stop(); _ = raw.Close() }()
	id, err := c.Store.identity()
	if err != nil {
		return nil, err
	}
	t, pin, err := c.secured(ctx, id, raw, tls.Server, func(fingerprint) error { return nil })
	if err != nil {
		return nil, nil //nolint:nilerr // no one that is known
	}
	f, err := readFrame(t.conn)
	if err != nil {
		return nil, nil //nolint:nilerr // it does not say what it wants
	}
	_ = raw.SetDeadline(time.Now().Add(talkLasts))
	p := c.Store.Enrolled()
	switch {
	case f.Join != nil:
		return nil, t.admit(*f.Join, pin)
	case p == nil || p.pin != pin:
		t.refuse("this server does not know your certificate (%s): it has removed the peer, or has another one. \"kitestring peer remove\" on both, then enrol again", pin)
		return nil, nil
	case f.Hello == nil:
		return nil, broken(p.Name, errRubbish)
	}
	received := t.now()
	if err := f.Hello.check(); err != nil {
		t.refuse("%s", err)
		return nil, err
	}
	mine := t.hello()
	if err := writeFrame(t.conn, frame{Hello: &mine}); err != nil {
		return nil, broken(p.Name, err)
	}
	o, err := t.trade(ctx, p, mine, *f.Hello, received)
	if err != nil {
		return nil, broken(p.Name, err)
	}
	return &o, nil
}

// refuse says why the conversation ends.
func (t talk) refuse(format string, args ...any) {
	_ = writeFrame(t.conn, frame{Refusal: fmt.Sprintf(format, args...)}) // it has gone
}

// admit answers a request for enrolment.
func (t talk) admit(j join, by fingerprint) error {
	err := sameProtocol(j.Protocol, j.Version)
	if err == nil {
		err = t.Store.admit(j, by, t.id.pin)
	}
	if err != nil {
		t.refuse("%s", err)
		t.Audit(true, "a request for enrolment was refused: "+err.Error())
		return nil
	}
	t.Audit(false, fmt.Sprintf("%s is enrolled as the peer (certificate %s); it connects to this server", shown(j.Name), by))
	_ = writeFrame(t.conn, frame{Joined: &joined{Version: t.Version, Name: machine(), Age: t.id.age.Recipient().String()}}) // it asks again with the same code
	return nil
}

// Join enrols this server with the one that made a code.
func (c *Config) Join(ctx context.Context, pasted string) error {
	to, err := parseCode(pasted)
	if err != nil {
		return err
	}
	if p := c.Store.Enrolled(); p != nil {
		return fmt.Errorf("%s is enrolled as the peer already: \"kitestring peer remove\" first", p.Name)
	}
	id, err := c.Store.identity()
	if err != nil {
		return err
	}
	if id.pin == to.certificate {
		return errors.New("that is a code of this server itself: give it to the other one")
	}
	t, end, err := c.dial(ctx, id, to.addr, to.certificate)
	if err != nil {
		return err
	}
	defer end()
	key := id.age.Recipient().String()
	ask := join{Protocol: protocol, Version: c.Version, Name: machine(), Age: key, Proof: proof(to.secret, to.certificate, id.pin, key)}
	if err := writeFrame(t.conn, frame{Join: &ask}); err != nil {
		return broken(to.addr, err)
	}
	f, err := readFrame(t.conn)
	if err != nil {
		return broken(to.addr, err)
	}
	if f.Joined == nil {
		return broken(to.addr, errRubbish)
	}
	p := &Peer{Name: shown(f.Joined.Name), Addr: to.addr, Certificate: hex.EncodeToString(to.certificate[:]), Age: f.Joined.Age, EnrolledAt: time.Now().UTC()}
	if err := c.Store.enrol(p); err != nil {
		return err
	}
	c.Audit(false, fmt.Sprintf("%s is enrolled as the peer (certificate %s, at %s)", p.Name, to.certificate, p.Addr))
	return nil
}

// Invite makes a code for the other server. addr is where that one reaches this
// server; "": where it listens.
func (c *Config) Invite(addr string) (code, at string, expires time.Time, err error) {
	if c.Addr == "" {
		return "", "", expires, errors.New("this server does not listen for a peer: start it with --peer-addr, like --peer-addr 10.0.0.5:8440, or make the code on the other server, so that this one connects to it")
	}
	at = cmp.Or(strings.TrimSpace(addr), c.Addr)
	if err := checkAddr(at); err != nil {
		return "", "", expires, err
	}
	if code, expires, err = c.Store.invite(at); err != nil {
		return "", "", expires, err
	}
	c.Audit(false, "a code for a peer was made; it is good once, until "+expires.UTC().Format(time.RFC3339))
	return code, at, expires, nil
}

// Remove forgets the peer.
func (c *Config) Remove() (name string, err error) {
	if name, err = c.Store.Remove(); err == nil {
		c.Audit(false, "the peer "+name+" was removed: no token goes to it or comes from it any more")
	}
	return name, err
}
