package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/messages/ist"
)

// counts is guarded by Exchange.mu.
type counts struct {
	ticks                int64            // made
	sent                 map[uint32]int64 // by instrument token, of topics that are gone
	upgrades             int64
	refusedUpgrades      map[string]int64
	mostSlots            int
	requests             map[string]int64 // answered with success
	refusedRequests      map[string]int64
	placed               map[string]int64 // order requests that arrived, whatever was answered
	refusedSubscriptions int64
	badCommands          int64
	slowSockets          int64
}

func newCounts() counts {
	return counts{
		sent: map[uint32]int64{}, refusedUpgrades: map[string]int64{},
		requests: map[string]int64{}, refusedRequests: map[string]int64{}, placed: map[string]int64{},
	}
}

// State is the answer of /sim/v1/state. Tokens appear as fingerprints.
type State struct {
	Clock         ClockState       `json:"clock"`
	Sequence      bool             `json:"sequence"`
	StartedAt     time.Time        `json:"started_at"` // real time
	Market        MarketState      `json:"market"`
	Sockets       []SocketState    `json:"sockets"`
	Subscriptions map[string]int   `json:"subscriptions"` // sockets by instrument token
	Ticks         int64            `json:"ticks"`         // made, whether anybody got them or not
	Sent          SentState        `json:"sent"`
	Sequences     map[string]int64 `json:"sequences"` // ticks made by instrument token; the last traded quantity in sequence mode
	Upgrades      UpgradeState     `json:"upgrades"`
	Requests      RequestState     `json:"requests"`
	Faults        []Fault          `json:"faults"`
	Replay        *ReplayState     `json:"replay,omitempty"` // of a recording; absent: the exchange makes its own prices
}

// ClockState is the exchange's clock.
type ClockState struct {
	Now        time.Time `json:"now"`
	Speed      float64   `json:"speed"` // exchange seconds a real second
	SkipNights bool      `json:"skip_nights"`
}

// MarketState is what the market does.
type MarketState struct {
	Open         bool     `json:"open"`
	Instruments  int      `json:"instruments"`
	Sampling     Sampling `json:"sampling"`
	Bars         bool     `json:"bars"`          // a playback
	BarsFinished bool     `json:"bars_finished"` // to its end
	ListingDay   string   `json:"listing_day"`
}

// SocketState is one open socket.
type SocketState struct {
	ID          int       `json:"id"`
	Fingerprint string    `json:"fingerprint"`
	OpenedAt    time.Time `json:"opened_at"` // real time
	Instruments int       `json:"instruments"`
	Frames      int64     `json:"frames"`
	Ticks       int64     `json:"ticks"`
	QueuedBytes int64     `json:"queued_bytes"`
}

// SentState counts what sockets were given.
type SentState struct {
	Frames       int64                `json:"frames"`
	Ticks        int64                `json:"ticks"`
	Heartbeats   int64                `json:"heartbeats"`
	SlowSockets  int64                `json:"slow_sockets"` // disconnected for not reading
	ByInstrument map[string]int64     `json:"by_instrument"`
	ByToken      map[string]TokenSent `json:"by_token"` // by fingerprint
}

// TokenSent counts what the sockets of one token were given.
type TokenSent struct {
	Frames int64 `json:"frames"`
	Ticks  int64 `json:"ticks"`
}

// UpgradeState counts upgrades.
type UpgradeState struct {
	Accepted int64            `json:"accepted"`
	Refused  map[string]int64 `json:"refused"` // by reason
	Most     int              `json:"most"`    // sockets that were open at once
}

// RequestState counts REST requests and commands.
type RequestState struct {
	Answered             map[string]int64 `json:"answered"` // by endpoint
	Refused              map[string]int64 `json:"refused"`  // by reason
	Placed               map[string]int64 `json:"placed"`   // requests that place an order, by its tag, whatever was answered
	RefusedSubscriptions int64            `json:"refused_subscriptions"`
	BadCommands          int64            `json:"bad_commands"`
}

// State is a snapshot of everything that can be counted.
func (e *Exchange) State() State {
	var replay *ReplayState
	if r, ok := e.Replay(); ok {
		replay = &r
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now, speed, skipNights, _ := e.clock.status()
	st := State{
		Clock:    ClockState{now.In(ist.Zone), speed, skipNights},
		Sequence: e.cfg.Sequence, Replay: replay, StartedAt: e.started, Ticks: e.counts.ticks,
		Market: MarketState{
			Open: e.cal.sessionAt(now).running(now), Instruments: len(e.listing.list), Sampling: cmp.Or(e.sampling, SamplingUniform),
			Bars: e.bars != nil, BarsFinished: e.bars != nil && e.bars.finished(), ListingDay: e.listing.day.Format(time.DateOnly),
		},
		Sockets: []SocketState{}, Subscriptions: map[string]int{}, Sequences: map[string]int64{}, Faults: []Fault{},
		Sent: SentState{
			Heartbeats: e.heartbeats.Load(), SlowSockets: e.counts.slowSockets,
			ByInstrument: map[string]int64{}, ByToken: map[string]TokenSent{},
		},
		Upgrades: UpgradeState{e.counts.upgrades, clone(e.counts.refusedUpgrades), e.counts.mostSlots},
		Requests: RequestState{clone(e.counts.requests), clone(e.counts.refusedRequests), clone(e.counts.placed), e.counts.refusedSubscriptions, e.counts.badCommands},
	}
	for s := range e.sockets {
		st.Sockets = append(st.Sockets, SocketState{s.id, s.token.fingerprint, s.opened, len(s.modes), s.frames, s.ticks, s.queued.Load()})
	}
	slices.SortFunc(st.Sockets, func(a, b SocketState) int { return a.ID - b.ID })
	for token, n := range e.counts.sent {
		st.Sent.ByInstrument[decimal(token)] += n
	}
	for token, t := range e.topics {
		if len(t.subs) > 0 {
			st.Subscriptions[decimal(token)] = len(t.subs)
		}
		if t.sent > 0 {
			st.Sent.ByInstrument[decimal(token)] += t.sent
		}
	}
	for _, in := range e.listing.list {
		if in.seq > 0 {
			st.Sequences[decimal(in.Token)] = int64(in.seq)
		}
	}
	for print, t := range e.tokens {
		st.Sent.ByToken[print] = TokenSent{t.frames, t.ticks}
		st.Sent.Frames += t.frames
		st.Sent.Ticks += t.ticks
	}
	for _, a := range e.faults.active {
		st.Faults = append(st.Faults, a.Fault)
	}
	return st
}

func decimal(token uint32) string { return strconv.FormatUint(uint64(token), 10) }

func clone(m map[string]int64) map[string]int64 {
	c := make(map[string]int64, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// adminRoutes control the exchange, for tests and drills. They have no
// authentication: the listener is on loopback, and a page whose host name was
// pointed here (DNS rebinding) is refused by the name.
func (e *Exchange) adminRoutes(outer *http.ServeMux) {
	mux := http.NewServeMux()
	outer.HandleFunc("/sim/v1/", func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			writeJSON(w, http.StatusMisdirectedRequest, map[string]string{"status": "error", "message": "the simulator is controlled under a loopback address only, e.g. 127.0.0.1"})
			return
		}
		mux.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /sim/v1/state", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, e.State()) })
	mux.HandleFunc("POST /sim/v1/faults", e.postFault)
	mux.HandleFunc("DELETE /sim/v1/faults", e.deleteFaults)
	mux.HandleFunc("POST /sim/v1/token", e.postToken)
	mux.HandleFunc("POST /sim/v1/sampling", e.postSampling)
	mux.HandleFunc("GET /sim/v1/clock", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, e.clockState()) })
	mux.HandleFunc("POST /sim/v1/clock", e.postClock)
}

func adminError(w http.ResponseWriter, err error) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"status": "error", "message": err.Error()})
}

// readAdmin reads a small JSON body without unknown fields.
func readAdmin(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		adminError(w, fmt.Errorf("body: %w", err))
		return false
	}
	return true
}

func (e *Exchange) postFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if !readAdmin(w, r, &f) {
		return
	}
	if err := e.InjectFault(f); err != nil {
		adminError(w, err)
		return
	}
	writeJSON(w, http.StatusAccepted, map[string]string{"status": "success"})
}

// deleteFaults ends all faults, or those of ?kind=.
func (e *Exchange) deleteFaults(w http.ResponseWriter, r *http.Request) {
	var kinds []FaultKind
	for _, k := range r.URL.Query()["kind"] {
		if !slices.Contains(faultKinds, FaultKind(k)) {
			adminError(w, fmt.Errorf("fault kind %q is unknown; the kinds are %s", k, kindList()))
			return
		}
		kinds = append(kinds, FaultKind(k))
	}
	e.ClearFaults(kinds...)
	writeJSON(w, http.StatusOK, map[string]string{"status": "success"})
}

func (e *Exchange) postToken(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Action string `json:"action"`
	}
	if !readAdmin(w, r, &in) {
		return
	}
	out := map[string]string{"status": "success"}
	switch in.Action {
	case "expire":
		if err := e.Expire(); err != nil {
			adminError(w, err)
			return
		}
	case "logout":
		if err := e.LogoutAll(); err != nil {
			adminError(w, err)
			return
		}
	case "rotate":
		token, err := e.Rotate()
		if err != nil {
			adminError(w, err)
			return
		}
		out["access_token"], out["fingerprint"] = token.Reveal(), token.Fingerprint()
	default:
		adminError(w, fmt.Errorf("action %q is unknown; the actions are expire, rotate, logout", in.Action))
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (e *Exchange) postSampling(w http.ResponseWriter, r *http.Request) {
	var set struct {
		Sampling Sampling `json:"sampling"`
	}
	if !readAdmin(w, r, &set) {
		return
	}
	if err := e.SetSampling(set.Sampling); err != nil {
		adminError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "success"})
}

func (e *Exchange) postClock(w http.ResponseWriter, r *http.Request) {
	var set clockSetting
	if !readAdmin(w, r, &set) {
		return
	}
	if err := e.setClock(set); err != nil {
		adminError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, e.clockState())
}

func (e *Exchange) clockState() ClockState {
	now, speed, skipNights, _ := e.clock.status()
	return ClockState{now.In(ist.Zone), speed, skipNights}
}
