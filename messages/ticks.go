package messages

import (
	"sync/atomic"
	"time"
)

// Tick is one decoded packet in 64 bytes: a cache line, no pointers. Integers
// are as Kite sends them; a field that the mode does not carry is 0. Five
// levels of depth and the day's OI extremes stay in the batch's Raw bytes and
// are read from there on demand (wire.DepthOf).
//
// The fields stand where a full packet has them, so that the decoder moves two
// at a time; Offset, Length and Mode take the place of the OI's extremes.
type Tick struct {
	InstrumentToken uint32
	LastPrice       int32 // prices are signed: spreads and crude can be negative
	LastQuantity    uint32
	AveragePrice    int32
	Volume          uint32 // cumulative, of the day
	BuyQuantity     uint32
	SellQuantity    uint32
	Open            int32
	High            int32
	Low             int32
	Close           int32  // of the previous day
	LastTradeTime   uint32 // Unix seconds; 0: none
	OI              uint32
	Offset          uint32 // of the packet in Ticks.Raw
	Length          uint8  // of the packet: 8, 28, 32, 44, 184
	Mode            Mode
	_               [2]byte
	ExchangeTime    uint32 // Unix seconds; 0: not sent in this mode
}

// Price turns one of the tick's integer prices into rupees.
func (t *Tick) Price(p int32) float64 { return float64(p) / float64(Divisor(t.InstrumentToken)) }

// Ticks is a batch: what one read of one socket brought, be it a part of a
// frame or several small ones.
// Every receiver gets the same batch, so none may change it; it is valid only during the call that delivers it, unless Retain is called.
// Sent by feed; received by subscribers, through actors.Sink.
type Ticks struct {
	Generation Generation // of the socket
	Shard      int
	Received   time.Time // when it was read, monotonic
	Snapshot   bool      // the last ticks of quiet instruments, for a receiver that has just started
	Ticks      []Tick    // empty: only the generation is news
	Raw        []byte    // the packets; Tick.Offset points into it

	refs    atomic.Int32
	recycle func(*Ticks)
}

// Batch is a batch of ticks with counted holders, as a mailbox sees it.
// *Ticks is one. Its methods are quick and take no lock that is held
// while pushing.
type Batch interface {
	Len() int     // ticks
	Retain(n int) // n more holders
	Release()     // one holder less
}

// NewTicks makes a batch that recycle gets back after its last Release.
func NewTicks(recycle func(*Ticks)) *Ticks { return &Ticks{recycle: recycle} }

// Len is the number of ticks.
func (t *Ticks) Len() int { return len(t.Ticks) }

// Retain adds n holders.
func (t *Ticks) Retain(n int) { t.refs.Add(int32(n)) }

// Release gives one hold back.
func (t *Ticks) Release() {
	if t.refs.Add(-1) == 0 && t.recycle != nil {
		t.recycle(t)
	}
}

// Minute is what is left of an instrument's ticks within one exchange minute
// when a receiver was too slow to take them one by one. Bars made of minutes
// equal bars made of ticks.
type Minute struct {
	InstrumentToken         uint32
	Start                   uint32 // Unix seconds, a multiple of 60
	First, High, Low, Last  int32
	VolumeFirst, VolumeLast uint32 // cumulative volume at the first and the last tick
	OI                      uint32
	Count                   uint32 // ticks merged
	Newest                  Tick   // the last tick itself (Raw is gone: no depth)
	Gapped                  bool   // older minutes of this instrument had to be given up
}

// Minutes is a conflated backlog, oldest first per instrument.
// A mailbox delivers it in place of the Ticks that it had to merge.
type Minutes struct {
	Generation Generation
	Minutes    []Minute
}

// GapReason says why instruments were blind.
type GapReason string

// The reasons of a gap.
const (
	GapReconnect GapReason = "reconnect"
	GapSwap      GapReason = "swap"
	GapStart     GapReason = "start"
)

// Gap is one blind span of one instrument.
type Gap struct {
	InstrumentToken uint32    `json:"instrument_token"`
	From            time.Time `json:"from"`               // exchange time of the last tick before
	To              time.Time `json:"to"`                 // exchange time of the first tick after
	BlindSeconds    float64   `json:"blind_seconds"`      // seconds from the last tick before to the first after
	VolumeWhile     int64     `json:"volume_while_blind"` // units that were traded unseen
}

// GapDetected carries the blind spans of a reconnect or swap.
// Sent by feed; received by bars, record, web and bus.
type GapDetected struct {
	Reason     GapReason  `json:"reason"` // reconnect, swap, start
	Shard      int        `json:"shard"`  // number of the socket, from 0
	Generation Generation `json:"generation"`
	Gaps       []Gap      `json:"instruments"` // how long each instrument was blind and what it missed
	At         time.Time  `json:"at"`          // when it was over
}
