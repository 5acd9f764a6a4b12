package record

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kitestring/actors"
	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// maxShards is how many sockets Kite allows an API key.
const maxShards = 3

// Store is the recorder's memory, made once, by the tree: what has been
// received and is not on disk yet, and what has been counted. It is the feed's
// recorder. Safe for concurrent use.
type Store struct {
	clock actors.Clock
	rings [maxShards]*ring
	wake  chan struct{}

	accepts atomic.Bool // somebody records
	orders  atomic.Bool // order texts too
	writing sync.Mutex  // held by the writer while it lives
	sockets sockets     // the writer's

	mu      sync.Mutex
	status  Status
	written tape.Counts // by writers that have ended
	writer  *tape.Writer
	files   map[string][]byte // instruments files that wait for the writer, by day
}

// Status is what the recorder shows.
type Status struct {
	State   State
	Reason  string // what happened and what to do; "": nothing
	Since   time.Time
	Dir     string
	Written tape.Counts // since the process began

	Dropped   uint64 // frames, since the process began
	Queue     int64  // bytes that wait in memory
	LastWrite time.Time
	Segment   string    // the open one; "": none
	Segments  int       // in the directory, as are the next two
	Bytes     int64     // of the whole directory
	Oldest    time.Time // zero: nothing is recorded
	DiskFree  int64
	DiskSize  int64
	Deleted   uint64 // segments, for their age or size, since the process began
	Keep      tape.Retention
}

// NewStore makes an empty Store. clock is the exchange's.
func NewStore(clock actors.Clock) *Store {
	s := &Store{clock: clock, wake: make(chan struct{}, 1), files: map[string][]byte{}, sockets: sockets{}}
	for i := range s.rings {
		s.rings[i] = &ring{shard: i, wake: s.wake}
	}
	return s
}

// Close gives the memory back. Nobody may record any more; a writer that hangs
// on its disk keeps it.
func (s *Store) Close() error {
	s.accepts.Store(false)
	if !s.writing.TryLock() {
		return nil
	}
	defer s.writing.Unlock()
	var errs []error
	for _, r := range s.rings {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// Frame takes a binary message of a socket. It never waits.
func (s *Store) Frame(from messages.Socket, message []byte) {
	if s.accepts.Load() {
		s.rings[from.Shard].put(frame, s.clock.Now().UnixNano(), from, message)
	}
}

// Order takes a text message with an order update, where these are recorded.
func (s *Store) Order(from messages.Socket, message []byte) {
	if s.orders.Load() {
		s.put(from, tape.TextReceived, text{of(from), json.RawMessage(message)})
	}
}

// Socket takes what has become of a socket.
func (s *Store) Socket(of messages.Socket, f messages.SocketFact) {
	s.put(of, kinds[f.Kind], socketEvent{where{of.Shard, of.ID, of.Generation}, f})
}

// put takes an event.
func (s *Store) put(from messages.Socket, k tape.Kind, data any) {
	if s.accepts.Load() {
		s.rings[from.Shard].put(event, s.clock.Now().UnixNano(), from, encode(k, data))
	}
}

var kinds = map[messages.SocketFactKind]tape.Kind{
	messages.SocketOpened: tape.SocketOpened, messages.SocketClosed: tape.SocketClosed,
	messages.SocketSubscribed: tape.Subscribed, messages.SocketSettled: tape.SocketSettled,
}

// where names a socket in an event.
type where struct {
	Shard      int                 `json:"shard"`
	Socket     uint64              `json:"socket"`
	Generation messages.Generation `json:"generation"`
}

func of(s messages.Socket) where { return where{s.Shard, s.ID, s.Generation} }

type socketEvent struct {
	where
	messages.SocketFact
}

type text struct {
	where
	Text json.RawMessage `json:"text"`
}

// encode is an event as the ring holds it.
func encode(k tape.Kind, data any) []byte {
	out, err := json.Marshal(data)
	if err != nil { // an order's text that is no JSON
		out, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	return slices.Concat([]byte(k), []byte("\n"), out)
}

// decode is encode backwards.
func decode(data []byte) (tape.Kind, json.RawMessage) {
	k, rest, _ := bytes.Cut(data, []byte("\n"))
	return tape.Kind(k), rest
}

// sockets are those that are open as far as the tape knows, and what each was
// asked for: repeated at the start of each segment, so that it can be used
// without the others.
type sockets map[where]*socket

type socket struct {
	opened     messages.SocketFact
	subscribed map[uint32]messages.Mode
}

// follow takes an event that goes onto the tape.
func (s sockets) follow(k tape.Kind, data json.RawMessage) {
	switch k {
	case tape.SocketOpened, tape.SocketClosed, tape.Subscribed:
	default:
		return
	}
	var e socketEvent
	if json.Unmarshal(data, &e) != nil {
		return
	}
	switch one := s[e.where]; {
	case k == tape.SocketOpened:
		s[e.where] = &socket{e.SocketFact, map[uint32]messages.Mode{}}
	case k == tape.SocketClosed:
		delete(s, e.where)
	case one != nil:
		c, err := wire.ParseCommand([]byte(e.Command))
		if err != nil {
			return
		}
		for _, instrument := range c.InstrumentTokens {
			switch c.Action {
			case wire.ActionSubscribe:
				one.subscribed[instrument] = cmp.Or(one.subscribed[instrument], messages.ModeQuote)
			case wire.ActionMode:
				one.subscribed[instrument] = c.Mode
			case wire.ActionUnsubscribe:
				delete(one.subscribed, instrument)
			}
		}
	}
}

// again tells all of them once more.
func (s sockets) again(at time.Time) (events []tape.Event) {
	tell := func(w where, k tape.Kind, f messages.SocketFact) {
		if e, err := tape.NewEvent(at, k, socketEvent{w, f}); err == nil {
			events = append(events, e)
		}
	}
	for _, w := range slices.SortedFunc(maps.Keys(s), func(a, b where) int { return cmp.Compare(a.Socket, b.Socket) }) {
		tell(w, tape.SocketOpened, s[w].opened)
		modes := map[messages.Mode][]uint32{}
		for _, instrument := range slices.Sorted(maps.Keys(s[w].subscribed)) {
			m := s[w].subscribed[instrument]
			modes[m] = append(modes[m], instrument)
		}
		for _, m := range slices.Sorted(maps.Keys(modes)) {
			tell(w, tape.Subscribed, messages.SocketFact{Kind: messages.SocketSubscribed, Command: string(wire.AppendCommand(nil, wire.Command{Action: wire.ActionMode, Mode: m, InstrumentTokens: modes[m]}))})
		}
	}
	return events
}

// Instruments takes a day's instruments file as it comes; keep ends it, and
// says whether it is one.
func (s *Store) Instruments(day time.Time) (into io.Writer, keep func(ok bool)) {
	var file bytes.Buffer
	return &file, func(ok bool) {
		if !ok || !s.accepts.Load() {
			return
		}
		s.mu.Lock()
		s.files[day.Format(time.DateOnly)] = file.Bytes()
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// Status is what there is to show now.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Written = s.written
	if s.writer != nil {
		now := s.writer.Stats()
		st.Written.Add(now.Counts)
		st.Bytes += now.Bytes // counted without these
		st.Segment = now.Segment
	}
	for _, r := range s.rings {
		st.Dropped += r.dropped.Load()
		st.Queue += r.waiting()
	}
	return st
}

// Around names the segments that hold what was received between two moments,
// for a person who has to send them. from and to are the exchange's time.
func (s *Store) Around(from, to time.Time) []string {
	st := s.Status()
	if st.Dir == "" {
		return nil
	}
	return segmentsBetween(st.Dir, from, to)
}

func (s *Store) change(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

// process is the event that begins what a process records.
type process struct {
	ID        int       `json:"id"`
	Boot      string    `json:"boot"`
	Version   string    `json:"version"`
	Profile   string    `json:"profile"`
	StartedAt time.Time `json:"started_at"` // by the machine's clock
}

func (s *Store) begin(cfg Config) {
	s.put(messages.Socket{}, tape.ProcessStarted, process{os.Getpid(), cfg.Boot, cfg.Version, cfg.Profile, time.Now().UTC()})
	for _, answer := range cfg.History {
		s.put(messages.Socket{}, tape.HistoryCame, answer)
	}
}
