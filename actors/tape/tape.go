// Package tape is the recording of what Kite sent: its format, and the files of
// a day.
//
// Promise: a frame comes back byte for byte, with the time of its receipt, its
// shard, socket and generation, in the order of time. A crash costs the block
// that was not written yet, a damaged file the rest of it from the damage on:
// a reader takes the valid prefix and says what it left out. No file is written
// to by more than one start of the program.
//
// Form: a segment (day=2026-11-27/0915-00007-<boot>.ks) is a sequence of
// blocks, each written by one write(2): a header of 56 bytes in a skippable
// frame of zstd, then one frame of zstd, so that "zstd -t" accepts the file. The
// checksum of a block starts with the one of the block before, so no block of
// another place is taken. Within a block a packet is its difference to the
// packet before of the same instrument, and the differences are laid out byte by
// byte: first all the first bytes, then all the second ones. A segment starts
// without earlier packets, so it is read without the others.
//
// Limits: a frame of up to wire.MaxFrame; 65,536 instruments a segment; no
// access token, no API key (callers give none). One Writer a Directory, one
// goroutine a Writer, Sync apart.
package tape

import (
	"encoding/json"
	"fmt"
	"time"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// Frame is one binary message as it was received, heartbeats and faulty ones
// included.
type Frame struct {
	At         time.Time // of the receipt, by the clock of the recorder
	Shard      int
	Socket     uint64 // counts the sockets of a process
	Generation messages.Generation
	Data       []byte
}

// Event is something that happened beside the frames. Its fields are JSON, as
// the kind says.
type Event struct {
	At   time.Time
	Kind Kind
	Data json.RawMessage // an object
}

// Kind is the kind of an event. A reader passes over kinds that it does not
// know.
type Kind string

// The kinds of events.
const (
	SegmentStarted Kind = "segment_started" // Opening; the writer puts it first into each segment
	ProcessStarted Kind = "process_started"
	SocketOpened   Kind = "socket_opened"  // with shard, socket, generation, fingerprint
	SocketClosed   Kind = "socket_closed"  // with its cause
	SocketSettled  Kind = "socket_settled" // of a swap: what the feed let the newer socket lead
	Subscribed     Kind = "subscribed"     // what a socket was asked for, as a difference
	RotationDone   Kind = "rotation_done"  // the receipt
	GapFound       Kind = "gap_found"      // messages.GapDetected
	FramesDropped  Kind = "frames_dropped"
	DiskChanged    Kind = "disk_changed"
	ClockChecked   Kind = "clock_checked"        // the clock's offset
	HistoryCame    Kind = "history_answered"     // messages.HistoryAnswered: what Kite's history had
	Resolved       Kind = "instruments_resolved" // messages.InstrumentsResolved: what the analyses watch
	TextReceived   Kind = "text_received"        // an order's text, where the configuration asks for it
)

// Opening is the data of SegmentStarted.
type Opening struct {
	Boot   string `json:"boot"` // the start of the program that wrote it
	Format int    `json:"format"`
}

// Dropped is the data of FramesDropped: frames that were received and are not
// on the tape.
type Dropped struct {
	Frames int       `json:"frames"`
	Ticks  int       `json:"ticks,omitempty"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason"`
}

// NewEvent makes an event of data that marshals to a JSON object.
func NewEvent(at time.Time, kind Kind, data any) (Event, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("%s event: %w", kind, err)
	}
	return Event{At: at, Kind: kind, Data: text}, nil
}

// The limits of a block and of a segment.
const (
	BlockBytes   = 1 << 20          // of frames and events: a block is full
	SegmentBytes = 64 << 20         // on disk
	SegmentTime  = 15 * time.Minute // from its first record to the first of its last block
	MaxEvent     = 1 << 20          // bytes of an event's data

	format         = 1
	maxInstruments = 1 << 16
	maxBlock       = 8 << 20 // bytes of a block, before zstd and after it
	maxRaw         = BlockBytes + wire.MaxFrame + MaxEvent
)

// Counts are what is in a block, a segment, a day.
type Counts struct {
	Frames int64 `json:"frames"`
	Ticks  int64 `json:"ticks"` // packets of a known length in well-formed frames
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"` // on disk
}

// Add adds what is in another one.
func (c *Counts) Add(o Counts) {
	c.Frames += o.Frames
	c.Ticks += o.Ticks
	c.Events += o.Events
	c.Bytes += o.Bytes
}
