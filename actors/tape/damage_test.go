package tape

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// sample writes a segment of blocks blocks, and gives its bytes, where each
// block ends and the frames of each.
func sample(t testing.TB, blocks int) (data []byte, ends []int, frames [][]Frame) {
	t.Helper()
	var b bytes.Buffer
	dir := Open(t.TempDir())
	w := dir.NewWriter(WriterConfig{Boot: "b", Create: func(string) (File, error) { return &memory{&b}, nil }})
	rng := rand.New(rand.NewPCG(1, 1))
	at := morning
	for range blocks {
		var list []Frame
		for range 1 + rng.IntN(4) {
			at = at.Add(10 * time.Millisecond)
			var packets [][]byte
			for range rng.IntN(5) {
				p := &wire.Packet{}
				p.InstrumentToken = uint32(1+rng.IntN(6))<<8 | 1
				p.LastPrice, p.Volume = int32(rng.IntN(1e6)), rng.Uint32()
				packets = append(packets, wire.AppendPacket(nil, p, messages.Mode(1+rng.IntN(3))))
			}
			f := Frame{At: at, Socket: 3, Generation: 1, Data: frameOf(packets...)}
			list = append(list, f)
			if err := w.Append(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		ends, frames = append(ends, b.Len()), append(frames, list)
	}
	return b.Bytes(), ends, frames
}

type memory struct{ *bytes.Buffer }

func (m *memory) Truncate(n int64) error { m.Buffer.Truncate(int(n)); return nil }
func (m *memory) Datasync() error        { return nil }
func (m *memory) Close() error           { return nil }

// readBytes is what a reader takes of a file, and the reason for its end.
func readBytes(data []byte) (frames []Frame, prefix int64, err error) {
	r := NewReader(bytes.NewReader(data))
	defer r.Close()
	for {
		records, err := r.NextBlock()
		if err != nil {
			return frames, r.Counts().Bytes, err
		}
		for i := range records {
			if records[i].Kind == "" {
				frames = append(frames, records[i].frame())
			}
		}
	}
}

// whole are the blocks that lie before an offset, and their end.
func whole(ends []int, frames [][]Frame, before int) (want []Frame, end int) {
	for i, e := range ends {
		if e > before {
			break
		}
		want, end = append(want, frames[i]...), e
	}
	return want, end
}

func TestACutFileGivesTheWholeBlocksBefore(t *testing.T) {
	data, ends, frames := sample(t, 30)
	rng := rand.New(rand.NewPCG(2, 2))
	for range 400 {
		at := rng.IntN(len(data))
		want, end := whole(ends, frames, at)
		got, prefix, err := readBytes(data[:at])
		sameFrames(t, got, want)
		var damaged *DamagedError
		if atEnd := end == at; atEnd != (err == io.EOF) || !atEnd && !errors.As(err, &damaged) || prefix != int64(end) {
			t.Fatalf("cut at %d: prefix %d of %d, %v", at, prefix, end, err)
		}
	}
}

func TestAFlippedBitIsFoundAndCostsTheRest(t *testing.T) {
	data, ends, frames := sample(t, 30)
	rng := rand.New(rand.NewPCG(3, 3))
	for range 400 {
		bit := rng.IntN(8 * len(data))
		flipped := bytes.Clone(data)
		flipped[bit/8] ^= 1 << (bit % 8)
		want, end := whole(ends, frames, bit/8)
		got, prefix, err := readBytes(flipped)
		sameFrames(t, got, want)
		var damaged *DamagedError
		if !errors.As(err, &damaged) || prefix != int64(end) {
			t.Fatalf("bit %d: prefix %d of %d, %v", bit, prefix, end, err)
		}
	}
}

// A block in another place, of this file or another, is no block.
func TestABlockOutOfItsPlaceIsRefused(t *testing.T) {
	data, ends, frames := sample(t, 4)
	other, otherEnds, _ := sample(t, 2)
	for name, spliced := range map[string][]byte{
		"left out": append(bytes.Clone(data[:ends[0]]), data[ends[1]:]...),
		"repeated": append(bytes.Clone(data[:ends[0]]), data[:ends[0]]...),
		"foreign":  append(bytes.Clone(data[:ends[0]]), other[:otherEnds[0]]...),
	} {
		got, prefix, err := readBytes(spliced)
		sameFrames(t, got, frames[0])
		if prefix != int64(ends[0]) || err == io.EOF {
			t.Errorf("%s: %d, %v", name, prefix, err)
		}
	}
}

func TestOtherFilesAreRefusedInClearWords(t *testing.T) {
	data, _, _ := sample(t, 2)
	future := bytes.Clone(data)
	future[11] = 9
	for name, c := range map[string]struct {
		data   []byte
		reason string
	}{
		"empty":   {nil, ""},
		"short":   {data[:3], "it ends within a block"},
		"foreign": {[]byte(strings.Repeat("time,price\n", 50)), "it is no tape of kitestring"},
		"text":    {[]byte("time,price,volume\n1,2,3\n"), "it is no tape of kitestring"},
		"future":  {future, "format 9, written by another version of kitestring; this one reads format 1"},
		"zeros":   {append(bytes.Clone(data), make([]byte, 4096)...), "no block follows"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, damage, err := ReadFile(path, func([]Record) error { return nil })
		if err != nil || (damage != nil) != (c.reason != "") || damage != nil && !strings.Contains(damage.Reason, c.reason) {
			t.Errorf("%s: %+v, %v", name, damage, err)
		}
	}
	if _, _, err := ReadFile(filepath.Join(t.TempDir(), "missing"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A file is readable by the tools of zstd: its frames make one stream.
func TestASegmentIsAStreamOfZstd(t *testing.T) {
	data, _, _ := sample(t, 5)
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if n, err := io.Copy(io.Discard, z); err != nil || n == 0 {
		t.Error(n, err)
	}
}

// full is a disk without room after some bytes.
type full struct {
	File
	room *int
}

func (f full) Write(p []byte) (int, error) {
	if *f.room < len(p) {
		n, _ := f.File.Write(p[:*f.room])
		*f.room = 0
		return n, unix.ENOSPC
	}
	*f.room -= len(p)
	return f.File.Write(p)
}

func TestAFullDiskCostsTheBlockAndNoOther(t *testing.T) {
	dir := Open(t.TempDir())
	room := 1 << 20
	w := dir.NewWriter(WriterConfig{Boot: "b", Create: func(path string) (File, error) {
		f, err := CreateFile(path)
		return full{f, &room}, err
	}})
	frame := func(second int) Frame {
		return Frame{At: morning.Add(time.Duration(second) * time.Second), Data: bytes.Repeat([]byte{byte(second)}, 99)}
	}
	put := func(second int) error {
		if err := w.Append(frame(second)); err != nil {
			t.Fatal(err)
		}
		return w.Flush()
	}
	if err := put(1); err != nil {
		t.Fatal(err)
	}
	room = 70 // a part of the next block
	if err := put(2); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if s := w.Stats(); s.Segment != "" || s.Frames != 1 {
		t.Errorf("%+v", s)
	}
	room = 1 << 20
	for _, second := range []int{2, 3} { // the same once more
		if err := put(second); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, _, damage := readAll(t, dir)
	sameFrames(t, got, []Frame{frame(1), frame(2), frame(3)})
	days, _ := dir.Days()
	if len(damage) != 0 || len(days[0].Segments) != 2 {
		t.Error(damage, days)
	}
}

// fixed gives data the checksums and lengths that a writer would: what is left is
// for the reader of the contents.
func fixed(data []byte) []byte {
	var out []byte
	crc := uint32(0)
	for sequence := uint32(0); len(data) >= headerBytes; sequence++ {
		n := int(binary.LittleEndian.Uint32(data[16:])) % 4096
		block := bytes.Clone(data[:min(len(data), headerBytes+n)])
		data = data[len(block):]
		binary.LittleEndian.PutUint32(block[0:], skippable)
		binary.LittleEndian.PutUint32(block[4:], headerBytes-8)
		copy(block[8:], "KST\x01")
		binary.LittleEndian.PutUint32(block[16:], uint32(len(block)-headerBytes))
		binary.LittleEndian.PutUint32(block[40:], sequence)
		crc = crc32.Update(crc, castagnoli, block[16:])
		binary.LittleEndian.PutUint32(block[12:], crc)
		out = append(out, block...)
	}
	return out
}

// FuzzReader: whatever a file holds, a reader does not panic, gives no more than
// the limit of a block at once, and takes no block that was not written: what it
// takes of a file without checksums made for it is the start of the one written.
func FuzzReader(f *testing.F) {
	written, ends, _ := sample(f, 4)
	f.Add(written, false)
	f.Add(written[:ends[1]+70], false)
	f.Add(written, true)
	f.Add([]byte("time,price\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix {
			data = fixed(data)
		}
		r := NewReader(bytes.NewReader(data))
		defer r.Close()
		for {
			records, err := r.NextBlock()
			if err != nil {
				var damaged *DamagedError
				if err != io.EOF && !errors.As(err, &damaged) {
					t.Fatal(err)
				}
				break
			}
			total := 0
			for _, record := range records {
				total += len(record.Data)
			}
			if total > maxRaw+maxBlock {
				t.Fatalf("%d bytes of a block", total)
			}
		}
		if taken := data[:r.Counts().Bytes]; !fix && !bytes.HasPrefix(written, taken) {
			t.Fatalf("it took %d bytes that were not written", len(taken))
		}
		if memory := cap(r.block) + cap(r.dec.content) + cap(r.dec.raw); memory > 2*(2*maxBlock+maxRaw)+headerBytes {
			t.Fatalf("%d bytes allocated", memory)
		}
	})
}

// Events alone are those that stand between the frames; a damaged file ends them
// early, and never gives one that was not written.
func TestEventsWithoutTheirFrames(t *testing.T) {
	dir := Open(t.TempDir())
	w := dir.NewWriter(WriterConfig{Boot: "b"})
	for n := range 40 {
		at := morning.Add(time.Duration(n) * time.Second)
		if n%7 == 3 {
			e, err := NewEvent(at, GapFound, map[string]int{"n": n})
			if err == nil {
				err = w.AppendEvent(e)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, data := range [][]byte{{0}, frameOf(price(uint32(n), 7), price(3, uint32(n))), {0, 9, 1}} {
			if err := w.Append(Frame{At: at, Shard: n % 3, Socket: uint64(n % 5), Generation: 2, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		if n%10 == 9 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, want, _, _ := readAll(t, dir)
	days, err := dir.Days()
	if err != nil {
		t.Fatal(err)
	}
	segment := days[0].Segments[0]
	var got []Event
	collect := func(e Event) { got = append(got, Event{e.At, e.Kind, bytes.Clone(e.Data)}) }
	same := func(a, b Event) bool { return a.At.Equal(b.At) && a.Kind == b.Kind && bytes.Equal(a.Data, b.Data) }
	if err := segment.Events(collect); err != nil || len(got) < 6 || !slices.EqualFunc(got, want, same) {
		t.Fatalf("%v: %d events, want %d", err, len(got), len(want))
	}
	whole, err := os.ReadFile(segment.Path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x55
		if err := os.WriteFile(segment.Path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		got = nil
		if err := segment.Events(collect); err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if len(got) > len(want) || !slices.EqualFunc(got, want[:len(got)], same) {
			t.Fatalf("byte %d: it gives events that were not written: %v", at, got)
		}
	}
}

// FuzzContent gives the reader of a block's content any content.
func FuzzContent(f *testing.F) {
	data, ends, _ := sample(f, 1)
	h, err := parseHeader(data)
	if err != nil {
		f.Fatal(err)
	}
	z, _ := zstd.NewReader(nil)
	defer z.Close()
	content, err := z.DecodeAll(data[headerBytes:ends[0]], nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content, h.frames, h.ticks, h.events)
	d := newDecoder()
	f.Fuzz(func(t *testing.T, content []byte, frames, ticks, events uint32) {
		d.restart()
		records, err := d.open(content, header{frames: frames, ticks: ticks, events: events})
		if err == nil && len(records) != int(frames)+int(events) {
			t.Fatal(fmt.Sprint(len(records), frames, events))
		}
		if cap(d.raw) > 4*maxRaw {
			t.Fatalf("%d bytes allocated", cap(d.raw))
		}
	})
}

// A file that is shorter than a header is foreign by its first bytes, or a tape
// that was cut off.
func TestShortFiles(t *testing.T) {
	data, _, _ := sample(t, 1)
	for n := 1; n < headerBytes; n++ {
		foreign := bytes.Clone(data[:n])
		foreign[0] ^= 1
		r := NewReader(bytes.NewReader(foreign))
		if _, err := r.NextBlock(); !errors.Is(err, errForeign) {
			t.Errorf("%d foreign bytes: %v", n, err)
		}
		r.Close()
		r = NewReader(bytes.NewReader(data[:n]))
		if _, err := r.NextBlock(); err == nil || errors.Is(err, errForeign) {
			t.Errorf("%d bytes of a tape: %v", n, err)
		}
		r.Close()
	}
}
