package tape

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/messages"
	"kitestring/messages/ist"
)

var morning = time.Date(2026, 11, 26, 9, 15, 0, 0, ist.Zone)

func (r *Record) frame() Frame {
	return Frame{At: r.At, Shard: r.Shard, Socket: r.Socket, Generation: r.Generation, Data: bytes.Clone(r.Data)}
}

// readAll reads files in their order.
func readAll(t testing.TB, dir *Directory) (frames []Frame, events []Event, counts Counts, damage []Damage) {
	t.Helper()
	days, err := dir.Days()
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range days {
		c, left, err := Read(day.Segments, time.Time{}, time.Time{}, func(records []Record) error {
			for _, r := range records {
				if r.Kind == "" {
					frames = append(frames, r.frame())
				} else {
					events = append(events, Event{r.At, r.Kind, bytes.Clone(r.Data)})
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		counts.Add(c)
		damage = append(damage, left...)
	}
	return frames, events, counts, damage
}

func sameFrames(t testing.TB, got, want []Frame) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d frames came back of %d", len(got), len(want))
	}
	for i := range want {
		g, w := got[i], want[i]
		if !g.At.Equal(w.At) || g.Shard != w.Shard || g.Socket != w.Socket || g.Generation != w.Generation || !bytes.Equal(g.Data, w.Data) {
			t.Fatalf("frame %d: %v, want %v", i, g, w)
		}
	}
}

func frameOf(packets ...[]byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(packets)))
	for _, p := range packets {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(p))), p...)
	}
	return out
}

// Any bytes come back, well-formed or not, of any source, in any block.
func TestAnyFrameComesBack(t *testing.T) {
	dirs := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := Open(fmt.Sprintf("%s/%d", dirs, n))
		w := dir.NewWriter(WriterConfig{Boot: "b"})
		at := morning
		packet := rapid.Custom(func(t *rapid.T) []byte {
			length := rapid.SampledFrom([]int{8, 28, 32, 44, 184, 0, 3, 200}).Draw(t, "length")
			p := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 127, 128, 255}), length, length).Draw(t, "packet")
			if length >= 8 {
				binary.BigEndian.PutUint32(p, uint32(rapid.IntRange(1, 5).Draw(t, "instrument")))
			}
			return p
		})
		data := rapid.OneOf(
			rapid.Custom(func(t *rapid.T) []byte { return frameOf(rapid.SliceOfN(packet, 0, 6).Draw(t, "packets")...) }),
			rapid.SliceOfN(rapid.Byte(), 0, 40),
		)
		var want []Frame
		for range rapid.IntRange(1, 30).Draw(t, "frames") {
			at = at.Add(time.Duration(rapid.IntRange(0, 200e6).Draw(t, "later")))
			f := Frame{
				At: at, Shard: rapid.IntRange(0, 2).Draw(t, "shard"), Socket: rapid.Uint64().Draw(t, "socket"),
				Generation: messages.Generation(rapid.Uint64().Draw(t, "generation")), Data: data.Draw(t, "data"),
			}
			if err := w.Append(f); err != nil {
				t.Fatal(err)
			}
			want = append(want, f)
			if rapid.Bool().Draw(t, "flush") {
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var got []Frame
		days, err := dir.Days()
		if err != nil || len(days) != 1 || len(days[0].Segments) != 1 {
			t.Fatal(days, err)
		}
		counts, damage, err := ReadFile(days[0].Segments[0].Path, func(records []Record) error {
			for _, r := range records {
				if r.Kind == "" {
					got = append(got, r.frame())
				}
			}
			return nil
		})
		if err != nil || damage != nil {
			t.Fatal(damage, err)
		}
		if counts.Frames != int64(len(want)) || counts.Bytes != days[0].Bytes() {
			t.Fatal(counts)
		}
		if len(got) != len(want) {
			t.Fatalf("%d of %d", len(got), len(want))
		}
		for i := range want {
			g, w := got[i], want[i]
			if !g.At.Equal(w.At) || g.Shard != w.Shard || g.Socket != w.Socket || g.Generation != w.Generation || !bytes.Equal(g.Data, w.Data) {
				t.Fatalf("frame %d: %+v, want %+v", i, g, w)
			}
		}
	})
}

// Records of a block come in the order of time, however the shards were drained.
func TestABlockComesInTheOrderOfTime(t *testing.T) {
	dir := Open(t.TempDir())
	w := dir.NewWriter(WriterConfig{Boot: "b", Opening: func(at time.Time) []Event {
		return []Event{{at, SocketOpened, []byte(`{"socket":7}`)}}
	}})
	for _, shard := range []int{0, 1} {
		for ms := range 5 {
			if err := w.Append(Frame{At: morning.Add(time.Duration(ms) * time.Millisecond), Shard: shard, Data: []byte{0}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	frames, events, counts, damage := readAll(t, dir)
	if !slices.IsSortedFunc(frames, func(a, b Frame) int { return a.At.Compare(b.At) }) || len(frames) != 10 || len(damage) != 0 {
		t.Error(frames, damage)
	}
	if len(events) != 2 || events[0].Kind != SegmentStarted || string(events[0].Data) != `{"boot":"b","format":1}` || events[1].Kind != SocketOpened || string(events[1].Data) != `{"socket":7}` {
		t.Errorf("%s", events)
	}
	if counts.Frames != 10 || counts.Ticks != 0 || counts.Events != 2 {
		t.Error(counts)
	}
}

// More instruments than a segment codes, and records without a byte, fill a block
// like any others.
func TestABlockIsFullWhateverIsInIt(t *testing.T) {
	dir := Open(t.TempDir())
	w := dir.NewWriter(WriterConfig{Boot: "b"})
	var want []Frame
	add := func(data []byte) {
		t.Helper()
		f := Frame{At: morning.Add(time.Duration(len(want)) * time.Microsecond), Data: data}
		want = append(want, f)
		if w.Full() {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Append(f); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		var packets [][]byte
		for i := range 40_000 {
			packets = append(packets, price(uint32(1+n*30_000+i), uint32(n)))
		}
		add(frameOf(packets...))
	}
	for range 40_000 {
		add(nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	frames, _, counts, damage := readAll(t, dir)
	sameFrames(t, frames, want)
	if counts.Ticks != 120_000 || len(damage) > 0 {
		t.Error(counts, damage)
	}
	days, _ := dir.Days()
	if x, err := days[0].Segments[0].Index(); err != nil || x.Blocks < 4 {
		t.Errorf("%+v %v", x, err)
	}
	for _, tooLong := range []error{w.Append(Frame{Data: make([]byte, 2<<20)}), w.AppendEvent(Event{Kind: "x", Data: make([]byte, 2<<20)})} {
		if !errors.Is(tooLong, ErrTooLong) {
			t.Error(tooLong)
		}
	}
}
