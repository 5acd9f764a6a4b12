// Package replay reads what was recorded of a day as one stream: the packets
// that a subscriber of the feed got, in the order of their receipt.
//
// Promise: sockets that overlapped while the token changed go through the feed's
// own merger, so that each packet comes once; a packet that repeats the one
// before of its instrument, as the answer to a subscription does, comes once;
// what is damaged is left out and named. The same tape gives the same stream.
//
// Limits: the merger gets the times of the recording, not those at which the
// feed decided, so where Kite sampled two sockets at different moments the
// choice between two packets of the same second may be the other one. Packets
// that no reader knows (another length than Kite's) are left out.
package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kitestring/actors/merger"
	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// Batch is the new packets of one message of Kite's, each as it was sent: the
// first four bytes are the instrument token. Valid until the next call of Next.
type Batch struct {
	At      time.Time // of the receipt
	Shard   int
	Packets [][]byte
}

// Frame is the packets in Kite's binary form, as one message.
func (b Batch) Frame() []byte { return wire.AppendFrame(nil, b.Packets...) }

// Stream is a recorded day, or one file of it. Not safe for concurrent use.
type Stream struct {
	segments []tape.Segment
	file     *os.File // the open one; nil: none
	reader   *tape.Reader
	block    []tape.Record // what is left of it
	damage   []tape.Damage

	Day       string           // spelled 2026-11-27
	Events    func(tape.Event) // is given each event, valid during the call; nil: nobody is
	directory *tape.Directory
	from      time.Time // frames of before are passed over; zero: none is

	out    Batch
	shards map[int]*shard
	index  map[uint32]int
	slots  []slot
}

// slot is an instrument's last packet.
type slot struct {
	raw      [184]byte
	length   int
	distrust int // shorter packets in a row
}

// shard is which of its sockets lead.
type shard struct {
	lead, standby uint64
	framed        bool // the standby has brought something
	lenient       bool
	merger        *merger.Merger // nil: one socket
	joins         merger.Joins   // that the last one has shown
	until         time.Time      // when the merger ends at the latest
}

// mergeFor is how long a finished swap's twins are waited for at most, as in the
// feed.
const mergeFor = 3 * time.Second

// Of is the stream of files that are of no directory: without an instruments
// file.
func Of(segments []tape.Segment) *Stream {
	return &Stream{segments: segments, shards: map[int]*shard{}, index: map[uint32]int{}}
}

// Open opens what is recorded of a day (2026-11-27) in a directory, or one file.
func Open(directory, what string) (*Stream, error) {
	s := Of(nil)
	if strings.HasSuffix(what, ".ks") {
		if _, err := os.Stat(what); err != nil {
			return nil, fmt.Errorf("the file to replay: %w", err)
		}
		folder := filepath.Dir(what)
		s.directory = tape.Open(filepath.Dir(folder))
		s.Day = strings.TrimPrefix(filepath.Base(folder), "day=")
		s.segments = []tape.Segment{{Path: what}}
		return s, nil
	}
	s.directory = tape.Open(directory)
	day, err := s.directory.Day(what)
	if err != nil {
		return nil, err
	}
	s.Day, s.segments = day.Day, day.Segments
	return s, nil
}

// Instruments is the instruments file of the day, as Kite sent it.
func (s *Stream) Instruments() ([]byte, error) {
	f, err := s.directory.InstrumentsFile(s.Day)
	if err != nil {
		return nil, fmt.Errorf("the instruments file of %s: %w", s.Day, err)
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Complete is how old a minute of history is when it is complete: its length, and
// some seconds in which the exchange may be late.
const Complete = time.Minute + 3*time.Second

// History is what the day's server got of Kite's history, by instrument: each
// minute once, oldest first.
func (s *Stream) History() (map[uint32][]messages.OldMinute, error) { return HistoryOf(s.segments) }

// HistoryOf is what a server that recorded segments got of Kite's history.
func HistoryOf(segments []tape.Segment) (map[uint32][]messages.OldMinute, error) {
	all := map[uint32][]messages.OldMinute{}
	for _, segment := range segments {
		err := segment.Events(func(e tape.Event) {
			var answer messages.HistoryAnswered
			if e.Kind == tape.HistoryCame && json.Unmarshal(e.Data, &answer) == nil {
				for _, m := range answer.Minutes {
					if !m.Start().Add(Complete).After(answer.Asked) {
						all[answer.InstrumentToken] = append(all[answer.InstrumentToken], m)
					}
				}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("the history in %s: %w", segment.Path, err)
		}
	}
	for token, minutes := range all {
		// A minute that was asked for again was not complete the first time.
		slices.Reverse(minutes)
		slices.SortStableFunc(minutes, func(a, b messages.OldMinute) int { return a.Start().Compare(b.Start()) })
		all[token] = slices.CompactFunc(minutes, func(a, b messages.OldMinute) bool { return a[0] == b[0] })
	}
	return all, nil
}

// Sequenced reports whether the source counted ticks in the last quantity, as
// the simulator does.
func (s *Stream) Sequenced() bool { return filepath.Base(s.directory.Path()) == "sim" }

// Damage is what was left out so far.
func (s *Stream) Damage() []tape.Damage { return s.damage }

// Close ends it before its end.
func (s *Stream) Close() {
	if s.file != nil {
		s.reader.Close()
		s.file.Close()
		s.file = nil
	}
}

// Next is the next batch; io.EOF at the end. A batch may have no packets: time
// has passed.
func (s *Stream) Next() (Batch, error) {
	for {
		for len(s.block) == 0 {
			if err := s.read(); err != nil {
				return Batch{}, err
			}
		}
		r := &s.block[0]
		s.block = s.block[1:]
		s.out.At, s.out.Packets = r.At, s.out.Packets[:0]
		if r.Kind != "" {
			if s.event(r) {
				return s.out, nil
			}
			continue
		}
		if r.At.Before(s.from) {
			continue
		}
		s.frame(r)
		return s.out, nil
	}
}

// read reads the next block, or what is damaged.
func (s *Stream) read() error {
	if s.file == nil {
		if len(s.segments) == 0 {
			return io.EOF
		}
		f, err := os.Open(s.segments[0].Path)
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		s.file, s.reader = f, tape.NewReader(f)
	}
	var err error
	if s.block, err = s.reader.NextBlock(); err == nil {
		return nil
	}
	path := s.segments[0].Path
	if errors.As(err, new(*tape.DamagedError)) {
		if info, statErr := s.file.Stat(); statErr == nil {
			at := s.reader.Counts().Bytes
			s.damage = append(s.damage, tape.Damage{Path: path, Offset: at, Bytes: info.Size() - at, Reason: err.Error()})
		}
		err = io.EOF
	}
	s.Close()
	s.segments = s.segments[1:]
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("replay %s: %w", path, err)
}

// event follows what became of the sockets; true: packets that were held back
// come with it.
func (s *Stream) event(r *tape.Record) bool {
	var e struct {
		Shard   int    `json:"shard"`
		Socket  uint64 `json:"socket"`
		Lenient bool   `json:"lenient"`
		Forced  bool   `json:"forced"`
	}
	if s.Events != nil {
		s.Events(tape.Event{At: r.At, Kind: r.Kind, Data: r.Data})
	}
	if json.Unmarshal(r.Data, &e) != nil {
		return false
	}
	s.out.Shard = e.Shard
	switch r.Kind {
	case tape.ProcessStarted: // the numbers of sockets begin again
		clear(s.shards)
	case tape.SocketOpened:
		s.join(e.Shard, e.Socket, r.At)
	case tape.SocketClosed:
		s.leave(s.shard(e.Shard), e.Socket, r.At)
	case tape.SocketSettled:
		sh := s.shard(e.Shard)
		if e.Socket != sh.standby || sh.merger == nil {
			return false
		}
		if sh.lenient = e.Lenient; e.Forced {
			s.promote(sh, r.At)
		} else {
			sh.merger.Lead(r.At, s.release)
		}
		s.progress(sh, r.At)
	}
	return len(s.out.Packets) > 0
}

func (s *Stream) shard(n int) *shard {
	if s.shards[n] == nil {
		s.shards[n] = &shard{}
	}
	return s.shards[n]
}

// join makes a socket the leader when nothing leads, else the standby.
func (s *Stream) join(n int, socket uint64, now time.Time) {
	sh := s.shard(n)
	switch {
	case socket <= max(sh.lead, sh.standby):
		return // repeated at the start of a segment
	case sh.lead == 0:
		sh.lead = socket
		sh.endMerge()
		return
	}
	before := sh.merger
	sh.endMerge()
	sh.standby, sh.framed, sh.lenient = socket, false, false
	sh.merger = merger.New(uint32(ist.Day(now).Unix()), len(s.slots), sh.joins)
	for i := range s.slots {
		last := &s.slots[i]
		sh.merger.Known(i, maphash.Bytes(seed, last.raw[:last.length]), momentOf(last.raw[:last.length]), before)
	}
}

// leave takes a socket out.
func (s *Stream) leave(sh *shard, socket uint64, now time.Time) {
	switch socket {
	case sh.lead:
		if sh.standby != 0 {
			s.promote(sh, now)
			s.progress(sh, now)
			return
		}
		sh.lead = 0
		sh.endMerge()
	case sh.standby:
		sh.standby = 0
		sh.merger.Leave(merger.Newer, nil)
		sh.until = now.Add(mergeFor)
	}
}

func (s *Stream) promote(sh *shard, now time.Time) {
	sh.lead, sh.standby, sh.until = sh.standby, 0, now.Add(mergeFor)
	sh.merger.Leave(merger.Older, s.release)
}

// progress looks whether a swap or its aftermath has come to an end.
func (s *Stream) progress(sh *shard, now time.Time) {
	if sh.standby != 0 && sh.framed && sh.merger.Complete(sh.lenient) {
		s.promote(sh, now)
	}
	if sh.merger.Done() || sh.merger.Alone && now.After(sh.until) {
		sh.endMerge()
	}
}

func (sh *shard) endMerge() {
	if sh.merger != nil {
		sh.joins, sh.merger = sh.merger.Shown(), nil
	}
}

// release hands out what the merger has held back.
func (s *Stream) release(_ int, flush []merger.Held) {
	for _, h := range flush {
		s.accept(h.Packet)
	}
}

// frame takes the packets of a message.
func (s *Stream) frame(r *tape.Record) {
	s.out.Shard = r.Shard
	sh := s.shard(r.Shard)
	if r.Socket > max(sh.lead, sh.standby) {
		s.join(r.Shard, r.Socket, r.At) // the tape begins in its middle
	}
	if r.Socket != sh.lead && r.Socket != sh.standby {
		return // it was given up
	}
	if r.Socket == sh.standby {
		sh.framed = true
	}
	if sh.merger != nil {
		s.merge(sh, r)
		s.progress(sh, r.At)
		return
	}
	eachPacket(r.Data, func(packet []byte) {
		if last := &s.slots[s.slot(packet)]; !last.lower(packet) && !last.repeats(packet) {
			s.accept(packet)
		}
	})
}

// eachPacket goes through a message. The feed takes nothing of one that is
// malformed, and this neither.
func eachPacket(message []byte, do func(packet []byte)) {
	if len(message) < 2 || wire.Heartbeat(message) || !wire.WellFormed(message) {
		return
	}
	for rest := message[2:]; len(rest) > 0; {
		length := int(binary.BigEndian.Uint16(rest))
		switch packet := rest[2 : 2+length]; length {
		case 8, 28, 32, 44, 184:
			do(packet)
		}
		rest = rest[2+length:]
	}
}

// repeats reports whether a packet says nothing new: one of a lower mode is the
// beginning of one of a higher mode.
func (s *slot) repeats(packet []byte) bool {
	return len(packet) <= s.length && bytes.Equal(s.raw[:len(packet)], packet)
}

// distrustAfter is how many packets of a lower mode are left out in a row, as in
// the feed: they answer a subscription before its mode has acted.
const distrustAfter = 64

// lower reports whether a packet is of a lower mode than is sent.
func (s *slot) lower(packet []byte) bool {
	if len(packet) >= s.length {
		s.distrust = 0
		return false
	}
	s.distrust++
	return s.distrust < distrustAfter
}

// merge takes a message while two sockets stream, or shortly after.
func (s *Stream) merge(sh *shard, r *tape.Record) {
	side := merger.Older
	if r.Socket == sh.standby || sh.standby == 0 && sh.merger.Alone && sh.merger.Left == merger.Newer {
		side = merger.Newer
	}
	sh.merger.Now = r.At
	eachPacket(r.Data, func(packet []byte) {
		at := s.slot(packet)
		if s.slots[at].lower(packet) {
			return
		}
		keep, flush := sh.merger.Offer(at, side, merger.Arrival{Hash: maphash.Bytes(seed, packet), Moment: momentOf(packet), Packet: packet})
		if keep {
			s.accept(packet)
		}
		s.release(at, flush)
	})
}

var seed = maphash.MakeSeed()

// slot is an instrument's place, made at need.
func (s *Stream) slot(packet []byte) int {
	token := binary.BigEndian.Uint32(packet)
	at, known := s.index[token]
	if !known {
		at = len(s.slots)
		s.index[token] = at
		s.slots = append(s.slots, slot{})
	}
	return at
}

// accept makes a packet the instrument's last one, and gives it out.
func (s *Stream) accept(packet []byte) {
	at := s.slot(packet)
	one := &s.slots[at]
	one.length = copy(one.raw[:], packet)
	s.out.Packets = append(s.out.Packets, packet)
}

// momentOf is a packet's place in time, as far as it tells.
func momentOf(packet []byte) (m merger.Moment) {
	at := func(offset int) uint32 { return binary.BigEndian.Uint32(packet[offset:]) }
	switch len(packet) {
	case 184:
		m.Exchange, m.Trade = at(60), at(44)
		fallthrough
	case 44:
		m.Volume = at(16)
	case 32:
		m.Exchange = at(28)
	}
	return m
}

// Hash is what Hashes finds of an instrument.
type Hash struct {
	Packets int64
	SHA256  string
}

// Hashes are of the packets of each instrument in the stream of segments.
func Hashes(segments []tape.Segment) (map[uint32]Hash, []tape.Damage, error) {
	s := Of(segments)
	defer s.Close()
	type one struct {
		hash    hash.Hash
		packets int64
	}
	all := map[uint32]*one{}
	for {
		b, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		for _, packet := range b.Packets {
			token := binary.BigEndian.Uint32(packet)
			if all[token] == nil {
				all[token] = &one{hash: sha256.New()}
			}
			all[token].hash.Write(packet)
			all[token].packets++
		}
	}
	hashes := map[uint32]Hash{}
	for token, o := range all {
		hashes[token] = Hash{o.packets, fmt.Sprintf("%x", o.hash.Sum(nil))}
	}
	return hashes, s.Damage(), nil
}
