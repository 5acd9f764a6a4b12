package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// FaultKind names a fault.
type FaultKind string

// The faults. Where no other is said, a fault holds until it is cleared, its
// ForMS is over, or it was applied Count times.
const (
	// At the upgrade; REST is fine meanwhile.
	FaultForbidden   FaultKind = "forbidden"    // 403
	FaultTooMany     FaultKind = "too_many"     // 429
	FaultServerError FaultKind = "server_error" // Status, 503 when 0
	FaultSlowUpgrade FaultKind = "slow_upgrade" // after LatencyMS
	FaultGhosts      FaultKind = "ghosts"       // Sockets of the three slots are taken, all when 0

	// The upgrade's answer, written onto the connection as it is.
	FaultEndlessUpgrade FaultKind = "endless_upgrade" // no end of Variant: header (default), status_line, body
	FaultEchoUpgrade    FaultKind = "echo_upgrade"    // the request line comes back in Variant; see EchoVariants

	// On open sockets (those of Fingerprint, all when empty).
	FaultMute          FaultKind = "mute"           // not a byte, no pong, no close
	FaultHeartbeatOnly FaultKind = "heartbeat_only" // no ticks
	FaultNoFirstTick   FaultKind = "no_first_tick"  // no ticks on sockets opened from now on
	FaultPongOnly      FaultKind = "pong_only"      // no message; pings are answered. Variant ping: and sent each second; fragments: one message that never ends
	FaultTextFlood     FaultKind = "text_flood"     // Text (a message of the exchange when empty) as fast as the socket takes it
	FaultOrderFlood    FaultKind = "order_flood"    // order updates, each of another order, as fast as the socket takes them; /orders has none of them

	// On open sockets, now: Count times, one each EveryMS (at once when 0).
	FaultDrop              FaultKind = "drop"               // Variant: tcp (default: closed without a close frame), reset, mid_frame, close_frame
	FaultMalformed         FaultKind = "malformed"          // Variant, or Hex, Base64, Text; see MalformedVariants
	FaultDuplicateSnapshot FaultKind = "duplicate_snapshot" // the cached ticks once more
	FaultOrderUpdate       FaultKind = "order_update"       // Order, or one made up; /orders has it from now on

	// In the instruments file and the market.
	FaultRecycled FaultKind = "recycled_instrument" // InstrumentToken (the near NIFTY future's when 0) means Tradingsymbol
	FaultMissing  FaultKind = "missing_contract"    // Tradingsymbol is not listed

	// What Kite is assumed not to do: one for each assumption that no other fault
	// contradicts.
	FaultNoCached FaultKind = "no_cached_packet"   // no packet follows a subscription (of InstrumentToken, of all when 0)
	FaultUntimed  FaultKind = "index_without_time" // packets of indices have no exchange time
	FaultNoFlush  FaultKind = "no_flush"           // tokens of the day before stay good

	// On REST requests whose path begins with Path (all when empty).
	FaultRESTTooMany    FaultKind = "rest_429_html"
	FaultRESTBadGateway FaultKind = "rest_502_html"
	FaultRESTTimeout    FaultKind = "rest_timeout" // no answer while the client waits
	FaultRESTRefuse     FaultKind = "rest_refuse"  // the connection is reset
	FaultRESTSlow       FaultKind = "rest_slow"    // the right answer, after LatencyMS
	FaultRESTError      FaultKind = "rest_error"   // Status, ErrorType, Message; 403 PermissionException by default
	FaultChecksum       FaultKind = "wrong_checksum"

	// On /user/profile, Count times (once when 0), then all is well.
	FaultFalseRejection FaultKind = "false_rejection" // 403 TokenException although the token is good
	FaultProfile502     FaultKind = "profile_502"     // 502 with an HTML body
)

var faultKinds = []FaultKind{
	FaultForbidden, FaultTooMany, FaultServerError, FaultSlowUpgrade, FaultGhosts,
	FaultEndlessUpgrade, FaultEchoUpgrade,
	FaultMute, FaultHeartbeatOnly, FaultNoFirstTick, FaultPongOnly, FaultTextFlood, FaultOrderFlood,
	FaultDrop, FaultMalformed, FaultDuplicateSnapshot, FaultOrderUpdate,
	FaultRecycled, FaultMissing, FaultNoCached, FaultUntimed, FaultNoFlush,
	FaultRESTTooMany, FaultRESTBadGateway, FaultRESTTimeout, FaultRESTRefuse, FaultRESTSlow, FaultRESTError, FaultChecksum,
	FaultFalseRejection, FaultProfile502,
}

// FaultKinds is every kind of fault.
func FaultKinds() []FaultKind { return slices.Clone(faultKinds) }

// Fault is something that goes wrong.
type Fault struct {
	Kind            FaultKind      `json:"kind"`
	Count           int            `json:"count,omitempty"`
	ForMS           int            `json:"for_ms,omitempty"`
	EveryMS         int            `json:"every_ms,omitempty"`
	LatencyMS       int            `json:"latency_ms,omitempty"`
	Sockets         int            `json:"sockets,omitempty"`
	Fingerprint     string         `json:"fingerprint,omitempty"`
	Variant         string         `json:"variant,omitempty"`
	Hex             string         `json:"hex,omitempty"`
	Base64          string         `json:"base64,omitempty"`
	Text            string         `json:"text,omitempty"`
	Order           map[string]any `json:"order,omitempty"`
	InstrumentToken uint32         `json:"instrument_token,omitempty"`
	Tradingsymbol   string         `json:"tradingsymbol,omitempty"`
	Path            string         `json:"path,omitempty"`
	Status          int            `json:"status,omitempty"`
	ErrorType       string         `json:"error_type,omitempty"`
	Message         string         `json:"message,omitempty"`
}

// faults is guarded by Exchange.mu.
type faults struct {
	active  []*activeFault
	untimed bool // FaultUntimed is among them
}

func (f *faults) has(k FaultKind) bool {
	return slices.ContainsFunc(f.active, func(a *activeFault) bool { return a.Kind == k })
}

// uncached reports whether no packet follows a subscription of an instrument.
func (f *faults) uncached(token uint32) bool {
	return slices.ContainsFunc(f.active, func(a *activeFault) bool {
		return a.Kind == FaultNoCached && (a.InstrumentToken == 0 || a.InstrumentToken == token)
	})
}

type activeFault struct {
	Fault
	since time.Time
	timer *time.Timer // of ForMS
	every *time.Timer // of EveryMS
}

func (k FaultKind) instant() bool {
	return k == FaultDrop || k == FaultMalformed || k == FaultDuplicateSnapshot || k == FaultOrderUpdate
}

// InjectFault makes something go wrong from now on.
func (e *Exchange) InjectFault(f Fault) error {
	if !slices.Contains(faultKinds, f.Kind) {
		return fmt.Errorf("fault kind %q is unknown; the kinds are %s", f.Kind, kindList())
	}
	if f.Count < 0 || f.ForMS < 0 || f.EveryMS < 0 || f.LatencyMS < 0 || f.Sockets < 0 {
		return errors.New("a fault's numbers cannot be negative")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.checkFault(f); err != nil {
		return err
	}
	e.log.Info("simulator fault injected", "kind", string(f.Kind))
	if f.Kind.instant() && f.EveryMS == 0 {
		for range max(f.Count, 1) {
			e.perform(f)
		}
		return nil
	}
	if f.Kind == FaultRecycled && f.InstrumentToken == 0 {
		f.InstrumentToken = e.nearFuture("NIFTY")
	}
	if f.Kind == FaultRecycled && f.Tradingsymbol == "" {
		f.Tradingsymbol = "RECYCLED"
	}
	if f.Kind == FaultFalseRejection || f.Kind == FaultProfile502 {
		f.Path, f.Count = "/user/profile", max(f.Count, 1)
	}
	a := &activeFault{Fault: f, since: time.Now()}
	e.faults.active = append(e.faults.active, a)
	if f.ForMS > 0 {
		a.timer = time.AfterFunc(time.Duration(f.ForMS)*time.Millisecond, func() { e.lift(a) })
	}
	if f.Kind.instant() {
		a.every = time.AfterFunc(0, func() { e.repeat(a) })
	}
	e.faultsChanged(f.Kind)
	return nil
}

func kindList() string {
	names := make([]string, len(faultKinds))
	for i, k := range faultKinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// ClearFaults ends every fault, or those of the kinds named.
func (e *Exchange) ClearFaults(kinds ...FaultKind) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range slices.Clone(e.faults.active) {
		if len(kinds) == 0 || slices.Contains(kinds, a.Kind) {
			e.remove(a)
		}
	}
}

func (e *Exchange) lift(a *activeFault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.remove(a)
}

func (e *Exchange) remove(a *activeFault) {
	i := slices.Index(e.faults.active, a)
	if i < 0 {
		return
	}
	e.faults.active = slices.Delete(e.faults.active, i, i+1)
	for _, t := range []*time.Timer{a.timer, a.every} {
		if t != nil {
			t.Stop()
		}
	}
	e.faultsChanged(a.Kind)
}

func (e *Exchange) faultsChanged(k FaultKind) {
	switch k {
	case FaultMute, FaultHeartbeatOnly, FaultNoFirstTick, FaultPongOnly, FaultTextFlood, FaultOrderFlood:
		e.faults.apply(e)
	case FaultRecycled, FaultMissing:
		e.relist()
	case FaultUntimed:
		e.faults.untimed = e.faults.has(k)
	case FaultNoFlush:
		e.sessions.unflushed.Store(e.faults.has(k))
	default: // is looked up when it can apply
	}
}

// repeat performs an instant fault again and again.
func (e *Exchange) repeat(a *activeFault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.faults.active, a) {
		return
	}
	e.perform(a.Fault)
	if a.Count > 0 {
		if a.Count--; a.Count == 0 {
			e.remove(a)
			return
		}
	}
	a.every.Reset(time.Duration(a.EveryMS) * time.Millisecond)
}

// apply sets what every socket may send.
func (f *faults) apply(e *Exchange) {
	for s := range e.sockets {
		var now *socketFault
		silent := false
		for _, a := range f.active {
			if a.Fingerprint != "" && a.Fingerprint != s.token.fingerprint {
				continue
			}
			switch a.Kind {
			case FaultMute, FaultPongOnly, FaultTextFlood, FaultOrderFlood:
				now = &socketFault{kind: a.Kind, variant: a.Variant, text: a.Text}
				silent = silent || now.withholds()
			case FaultHeartbeatOnly:
				silent = true
			case FaultNoFirstTick:
				silent = silent || s.opened.After(a.since)
			default: // not of a socket
			}
		}
		s.fault.Store(now)
		s.silent = silent
	}
}

// ghosts is how many slots are taken by sockets that are not there.
func (f *faults) ghosts() int {
	n := 0
	for _, a := range f.active {
		if a.Kind == FaultGhosts {
			if a.Sockets == 0 {
				return maxSockets
			}
			n += a.Sockets
		}
	}
	return n
}

// changeListing does to the instruments file what faults want.
func (f *faults) changeListing(e *Exchange, b *listing) {
	for _, a := range f.active {
		switch a.Kind {
		case FaultRecycled:
			b.recycle(e, a.InstrumentToken, a.Tradingsymbol)
		case FaultMissing:
			b.remove(a.Tradingsymbol)
		default: // not of the listing
		}
	}
}

func (e *Exchange) nearFuture(name string) uint32 {
	for _, in := range e.listing.list {
		if in.kind == future && in.Name == name {
			return in.Token
		}
	}
	return 0
}

// take is a fault of the kind that holds for the path now, counted; nil for none.
func (e *Exchange) take(kind FaultKind, path string) *Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.faults.active {
		if a.Kind != kind || !strings.HasPrefix(path, a.Path) {
			continue
		}
		hit := a.Fault
		if a.Count > 0 {
			if a.Count--; a.Count == 0 {
				e.remove(a)
			}
		}
		return &hit
	}
	return nil
}

func (f *Fault) wait(ctx context.Context) {
	timer := time.NewTimer(time.Duration(f.LatencyMS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (f *Fault) status(usual int) int {
	if f.Status != 0 {
		return f.Status
	}
	return usual
}

// maxHold bounds a request that is never answered.
const maxHold = 2 * time.Minute

// restFault gives the wrong answer of an active fault; true when it did.
func (e *Exchange) restFault(w http.ResponseWriter, r *http.Request) bool {
	path := r.URL.Path
	if f := e.take(FaultRESTSlow, path); f != nil {
		f.wait(r.Context())
	}
	switch {
	case e.take(FaultRESTRefuse, path) != nil:
		panic(http.ErrAbortHandler) // net/http resets the connection and stays silent
	case e.take(FaultRESTTimeout, path) != nil:
		(&Fault{LatencyMS: int(maxHold.Milliseconds())}).wait(r.Context())
		panic(http.ErrAbortHandler)
	case e.take(FaultRESTTooMany, path) != nil:
		writeHTML(w, http.StatusTooManyRequests, "429 Too Many Requests")
	case e.take(FaultFalseRejection, path) != nil:
		writeError(w, badToken("Incorrect `api_key` or `access_token`."))
	case e.take(FaultRESTBadGateway, path) != nil || e.take(FaultProfile502, path) != nil:
		writeHTML(w, http.StatusBadGateway, "502 Bad Gateway")
	default:
		f := e.take(FaultRESTError, path)
		if f == nil {
			return false
		}
		no := &apiError{f.status(http.StatusForbidden), f.ErrorType, f.Message}
		if no.Type == "" {
			no.Type = "PermissionException"
		}
		if no.Message == "" {
			no.Message = "Insufficient permission for that call."
		}
		writeError(w, no)
	}
	return true
}

func writeHTML(w http.ResponseWriter, status int, title string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", title, title)
}
