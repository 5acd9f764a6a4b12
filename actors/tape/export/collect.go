package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"

	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/wire"
)

const packetBytes = 184

// collector holds ticks by instrument.
type collector struct {
	x       *exporter
	decoder wire.Decoder
	ticks   []messages.Tick
	series  map[uint32]*series
	sources []origin
	source  int // of the last frame
}

// series are the ticks of one instrument, in the order of recording.
type series struct {
	ticks   []messages.Tick // Offset counts packets
	at      []int64
	source  []uint32 // in collector.sources
	packets []byte   // with Config.Full, packetBytes each
}

type origin struct {
	shard      int
	socket     uint64
	generation messages.Generation
}

func (s *series) len() int { return len(s.ticks) }

func newCollector(x *exporter) *collector {
	return &collector{x: x, series: map[uint32]*series{}}
}

// add takes the ticks of a frame.
func (c *collector) add(r *tape.Record) (int, error) {
	var err error
	if c.ticks, err = c.decoder.Decode(r.Data, c.ticks[:0]); err != nil {
		return 0, nil // a faulty frame has no tick, for the feed too
	}
	from := origin{r.Shard, r.Socket, r.Generation}
	if len(c.sources) == 0 || c.sources[c.source] != from {
		if c.source = slices.Index(c.sources, from); c.source < 0 {
			c.source = len(c.sources)
			c.sources = append(c.sources, from)
		}
	}
	at := r.At.UnixNano()
	for i := range c.ticks {
		t := &c.ticks[i]
		s := c.series[t.InstrumentToken]
		if s == nil {
			s = &series{}
			c.series[t.InstrumentToken] = s
		}
		if c.x.Full {
			packet := r.Data[t.Offset : t.Offset+uint32(t.Length)]
			s.packets = append(append(s.packets, packet...), make([]byte, packetBytes-len(packet))...)
		}
		t.Offset = uint32(len(s.ticks))
		s.ticks, s.at, s.source = append(s.ticks, *t), append(s.at, at), append(s.source, uint32(c.source))
	}
	return len(c.ticks), nil
}

// Len, Less and Swap sort by time; ticks keep the number of their packet.
func (s *series) Len() int           { return len(s.at) }
func (s *series) Less(i, j int) bool { return s.at[i] < s.at[j] }
func (s *series) Swap(i, j int) {
	s.at[i], s.at[j] = s.at[j], s.at[i]
	s.ticks[i], s.ticks[j] = s.ticks[j], s.ticks[i]
	s.source[i], s.source[j] = s.source[j], s.source[i]
}

// rows gives the ticks of an instrument in the order of time.
func (c *collector) rows(token uint32, each func(*tick) error) error {
	s := c.series[token]
	if !slices.IsSorted(s.at) { // the clock went back
		sort.Stable(s)
	}
	row := tick{instrument: c.x.instrument(token)}
	for i := range s.ticks {
		row.Tick, row.received = s.ticks[i], s.at[i]
		from := c.sources[s.source[i]]
		row.shard, row.socket, row.generation = from.shard, from.socket, from.generation
		if c.x.Full {
			row.packet = s.packets[row.Offset*packetBytes:][:row.Length]
			row.depth, row.hasDepth = wire.DepthOf(row.packet)
		}
		if err := each(&row); err != nil {
			return err
		}
	}
	return nil
}

// splitter writes the ticks of many instruments into recordings of fewer ones.
type splitter struct {
	directories []*tape.Directory
	writers     []*tape.Writer
	frames      [][]byte
}

func newSplitter(folder string, n int) *splitter {
	s := &splitter{frames: make([][]byte, n)}
	for i := range n {
		dir := tape.Open(filepath.Join(folder, fmt.Sprint(i)))
		s.directories = append(s.directories, dir)
		s.writers = append(s.writers, dir.NewWriter(tape.WriterConfig{Boot: "split"}))
	}
	return s
}

// add gives each recording its packets of a frame.
func (s *splitter) add(r *tape.Record) (int, error) {
	n := 0
	tape.Packets([]tape.Record{*r}, func(_ *tape.Record, packet []byte) {
		n++
		to := &s.frames[bucketOf(binary.BigEndian.Uint32(packet), len(s.frames))]
		if len(*to) == 0 {
			*to = append(*to, 0, 0)
		}
		*to = append(binary.BigEndian.AppendUint16(*to, uint16(len(packet))), packet...)
		binary.BigEndian.PutUint16(*to, binary.BigEndian.Uint16(*to)+1)
	})
	for i, data := range s.frames {
		if len(data) == 0 {
			continue
		}
		s.frames[i] = data[:0]
		w := s.writers[i]
		if w.Full() {
			if err := w.Flush(); err != nil {
				return n, err
			}
		}
		if err := w.Append(tape.Frame{At: r.At, Shard: r.Shard, Socket: r.Socket, Generation: r.Generation, Data: data}); err != nil {
			return n, err
		}
	}
	return n, nil
}

// bucketOf spreads instruments evenly: the low byte of an instrument token is its
// segment, so it is no number to divide by itself.
func bucketOf(token uint32, n int) int { return int(token*0x9e3779b1>>12) % n }

func (s *splitter) close() error {
	var errs []error
	for _, w := range s.writers {
		errs = append(errs, w.Close())
	}
	s.writers = nil // their memory is needed now
	return errors.Join(errs...)
}
