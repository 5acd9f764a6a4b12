package bus

import (
	"crypto/rand"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"kitestring/actors"
	"kitestring/messages"
)

// How much may wait for the bus: 1.8 s of 36,000 ticks a second.
const (
	queueItems = 4096
	queueTicks = 65_536
)

const maxShards = 3

// Store is the bus's memory, made once, by the tree: what waits to be published,
// the sequences and what was counted. It is a subscriber of the feed. Safe for
// concurrent use.
type Store struct {
	cfg   StoreConfig
	id    string // of this process
	port  int    // the publisher's: where the embedded server listened first; 0: nowhere yet
	queue chan item
	ticks atomic.Int64 // that wait in the queue
	takes atomic.Bool  // somebody publishes, or is about to

	frames [maxShards]atomic.Uint64 // sequences of the frames' subjects
	names  [maxShards]string        // and the subjects

	mu      sync.Mutex
	numbers map[string]uint64 // sequences of other subjects, ticks aside
	tick    map[uint32]*ticker

	published [len(kinds)]atomic.Uint64
	bytes     atomic.Uint64
	lost      [len(losses)]atomic.Uint64
	connects  atomic.Uint64
	leads     atomic.Uint64
	epoch     atomic.Int64 // Unix milliseconds; 0: nothing was published

	status struct {
		sync.Mutex
		state
		addr      string // where the embedded server listens; "": nowhere
		consumers func() (connected int, cut int64)
	}
}

// StoreConfig is what a Store needs.
type StoreConfig struct {
	Clock  actors.Clock // the exchange's
	Env    string       // of the subjects: the profile
	Server string       // names this server in the headers
	Where  string       // the bus for a person: its URL, or "embedded"
	Ticks  []uint32     // instruments with a message of their own for each packet
	All    bool         // each instrument has
}

// ticker numbers the packets of an instrument.
type ticker struct {
	subject  string
	sequence uint64
}

// loss is why something is not on the bus.
type loss uint8

const (
	lossQueue loss = iota // the queue was full: the bus takes less than comes
	lossDown              // the bus did not answer
	lossLease             // the lease had ended before it was sent
	lossError             // the bus refused it
)

var losses = [...]string{"queue_full", "down", "lease", "refused"}

// item waits in the queue.
type item struct {
	kind     kind
	subject  string
	sequence uint64
	epoch    int64
	at       time.Time // exchange time
	payload  []byte
	batch    *messages.Ticks // of a frame, retained
	numbers  []uint64        // of its ticks, where each has a message of its own; 0: it has not
}

// NewStore makes an empty Store.
func NewStore(cfg StoreConfig) *Store {
	s := &Store{cfg: cfg, id: rand.Text(), queue: make(chan item, queueItems), numbers: map[string]uint64{}}
	for i := range s.names {
		s.names[i] = frameSubject(cfg.Env, i)
	}
	if cfg.All || len(cfg.Ticks) > 0 {
		s.tick = map[uint32]*ticker{}
		for _, token := range cfg.Ticks {
			s.tick[token] = &ticker{subject: tickSubject(cfg.Env, token)}
		}
	}
	s.status.since = time.Now()
	return s
}

// Push takes a batch of the feed. It never waits. Implements actors.Sink.
func (s *Store) Push(b *messages.Ticks) (yield bool) {
	if !s.takes.Load() || b.Snapshot || len(b.Ticks) == 0 {
		return false
	}
	it := item{
		kind: kindFrame, subject: s.names[b.Shard], epoch: s.epoch.Load(), sequence: s.frames[b.Shard].Add(1),
		at: s.cfg.Clock.Now().Add(-time.Since(b.Received)), batch: b,
	}
	if s.tick != nil {
		it.numbers = s.number(b)
	}
	n := int64(len(b.Ticks))
	if s.ticks.Add(n) > queueTicks {
		s.ticks.Add(-n)
		s.lose(lossQueue, it)
		return false
	}
	b.Retain(1)
	select {
	case s.queue <- it:
	default:
		b.Release()
		s.ticks.Add(-n)
		s.lose(lossQueue, it)
	}
	return false
}

// number gives each packet that has a message of its own its sequence: here and
// not where it is sent, so that one that is lost in between leaves a hole at its
// place.
func (s *Store) number(b *messages.Ticks) []uint64 {
	numbers := make([]uint64, len(b.Ticks))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Ticks {
		token := b.Ticks[i].InstrumentToken
		t := s.tick[token]
		if t == nil {
			if !s.cfg.All {
				continue
			}
			t = &ticker{subject: tickSubject(s.cfg.Env, token)}
			s.tick[token] = t
		}
		t.sequence++
		numbers[i] = t.sequence
	}
	return numbers
}

// tickSubject is the subject of a packet with a number.
func (s *Store) tickSubject(instrumentToken uint32) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tick[instrumentToken].subject
}

// put takes what is no tick, by the end of its subject.
func (s *Store) put(k kind, about string, value any) {
	if !s.takes.Load() {
		return
	}
	payload, err := json.Marshal(value)
	if err != nil {
		s.lost[lossError].Add(1) // a value that cannot be encoded
		return
	}
	it := item{kind: k, subject: "ks." + s.cfg.Env + "." + about, at: s.cfg.Clock.Now(), payload: payload, epoch: s.epoch.Load()}
	s.mu.Lock()
	s.numbers[it.subject]++
	it.sequence = s.numbers[it.subject]
	s.mu.Unlock()
	select {
	case s.queue <- it:
	default:
		s.lose(lossQueue, it)
	}
}

// lose counts what is not on the bus, in messages.
func (s *Store) lose(why loss, it item) {
	n := uint64(1)
	for _, number := range it.numbers {
		if number != 0 {
			n++
		}
	}
	s.lost[why].Add(n)
}

// done gives back what an item held.
func (s *Store) done(it item) {
	if it.batch != nil {
		s.ticks.Add(-int64(len(it.batch.Ticks)))
		it.batch.Release()
	}
}

// begin starts an epoch: sequences begin again, and what is offered is taken.
func (s *Store) begin(now time.Time) {
	s.drain()
	s.epoch.Store(max(now.UnixMilli(), s.epoch.Load()+1))
	for i := range s.frames {
		s.frames[i].Store(0)
	}
	s.mu.Lock()
	clear(s.numbers)
	for _, t := range s.tick {
		t.sequence = 0
	}
	s.mu.Unlock()
	s.leads.Add(1)
	s.takes.Store(true)
}

// end takes nothing more: another server publishes.
func (s *Store) end() {
	s.takes.Store(false)
	s.drain()
}

func (s *Store) drain() {
	for {
		select {
		case it := <-s.queue:
			s.done(it)
		default:
			return
		}
	}
}

// Close gives back what waits. The feed must have ended.
func (s *Store) Close() error {
	s.end()
	return nil
}

// Status is what the bus shows.
type Status struct {
	State     State
	Reason    string // what happened and what to do; "": nothing
	Since     time.Time
	Where     string // its URL, or "embedded"
	Addr      string // where the embedded server listens; "": there is none
	Server    string // the name in the headers
	Epoch     int64  // Unix milliseconds; 0: nothing was published
	Published map[string]uint64
	Bytes     uint64
	Lost      map[string]uint64 // messages that are not on the bus, by why
	Queue     int64             // ticks that wait
	Connects  uint64
	Taken     uint64 // how often this server began to publish
	Consumers int    // that are connected to the embedded server
	Cut       int64  // consumers that the embedded server has cut off, for they took too little
}

// Status is what there is to show now.
func (s *Store) Status() Status {
	s.status.Lock()
	st := Status{State: s.status.State, Reason: s.status.reason, Since: s.status.since, Addr: s.status.addr}
	consumers := s.status.consumers
	s.status.Unlock()
	if consumers != nil {
		st.Consumers, st.Cut = consumers()
	}
	st.Where, st.Server, st.Epoch, st.Bytes, st.Queue = s.cfg.Where, s.cfg.Server, s.epoch.Load(), s.bytes.Load(), s.ticks.Load()
	st.Connects, st.Taken = s.connects.Load(), s.leads.Load()
	st.Published, st.Lost = map[string]uint64{}, map[string]uint64{}
	for i, name := range kinds {
		st.Published[name] = s.published[i].Load()
	}
	for i, name := range losses {
		st.Lost[name] = s.lost[i].Load()
	}
	return st
}
