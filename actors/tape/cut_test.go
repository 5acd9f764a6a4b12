package tape

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"
)

func price(instrument, v uint32) []byte {
	p := binary.BigEndian.AppendUint32(nil, instrument)
	return binary.BigEndian.AppendUint32(p, v)
}

// recordOf records one frame a packet, a second apart, and gives its
// segments. socket is that of each.
func recordOf(t *testing.T, sockets []uint64, packets ...[]byte) []Segment {
	t.Helper()
	dir := Open(t.TempDir())
	w := dir.NewWriter(WriterConfig{Boot: "b"})
	for i, p := range packets {
		if err := w.Append(Frame{At: morning.Add(time.Duration(i) * time.Second), Socket: sockets[i], Data: frameOf(p)}); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	days, err := dir.Days()
	if err != nil {
		t.Fatal(err)
	}
	return days[0].Segments
}

// What two sockets brought in a swap counts once, in whichever order it came.
func TestHashesCountTheOverlapOfASwapOnce(t *testing.T) {
	a, b, c, d := price(1, 10), price(1, 11), price(1, 12), price(1, 13)
	hash := func(segments []Segment) Hash {
		t.Helper()
		all, damage, err := Hashes(segments)
		if err != nil || len(damage) > 0 || len(all) != 1 {
			t.Fatal(all, damage, err)
		}
		return all[1]
	}
	want := hash(recordOf(t, []uint64{1, 1, 1, 1}, a, b, c, d))
	if want.Packets != 4 {
		t.Fatal(want)
	}
	for name, got := range map[string]Hash{
		"one after the other": hash(recordOf(t, []uint64{1, 1, 2, 1, 2, 2}, a, b, b, c, c, d)),
		"the new one ahead":   hash(recordOf(t, []uint64{1, 1, 2, 2, 1, 2}, a, b, b, c, c, d)),
		"behind by two":       hash(recordOf(t, []uint64{1, 1, 1, 2, 2, 2}, a, b, c, b, c, d)),
		"answered again":      hash(recordOf(t, []uint64{1, 1, 1, 1, 1}, a, a, b, c, d)),
	} {
		if got != want {
			t.Errorf("%s: %v, not %v", name, got, want)
		}
	}
	if other := hash(recordOf(t, []uint64{1, 1, 1, 1}, a, b, a, d)); other == want || other.Packets != 4 {
		t.Error("a price that came back is lost:", other)
	}
}

func TestCutKeepsTheSpanAndWhichSocketsWereOpen(t *testing.T) {
	dir := Open(t.TempDir())
	w := dir.NewWriter(WriterConfig{Boot: "b", Opening: func(at time.Time) []Event {
		return []Event{{at, SocketOpened, []byte(`{"socket":7}`)}}
	}})
	at := func(minute int) time.Time { return morning.Add(time.Duration(minute) * time.Minute) }
	for minute := range 40 {
		if err := w.Append(Frame{At: at(minute), Socket: 7, Data: frameOf(price(1, uint32(minute)))}); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	days, _ := dir.Days()
	path := filepath.Join(t.TempDir(), "part.ks")
	counts, damage, err := Cut(days[0].Segments, at(20), at(33), path)
	if err != nil || len(damage) > 0 || counts.Frames != 14 || counts.Ticks != 14 {
		t.Fatal(counts, damage, err)
	}
	segments, err := SegmentsOf(path)
	if err != nil {
		t.Fatal(err)
	}
	var opened, frames int
	_, _, err = Read(segments, time.Time{}, time.Time{}, func(records []Record) error {
		for _, r := range records {
			switch {
			case r.Kind == SocketOpened && frames == 0:
				opened++
			case r.Kind == "":
				if !r.At.Equal(at(20 + frames)) {
					t.Errorf("frame %d is of %v", frames, r.At)
				}
				frames++
			}
		}
		return nil
	})
	if err != nil || opened != 1 || frames != 14 {
		t.Error(opened, frames, err)
	}
	if _, _, err := Cut(days[0].Segments, at(20), at(33), path); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if _, _, err := Cut(days[0].Segments, at(50), at(60), path+"2"); err == nil {
		t.Error("an empty cut is a file")
	}
	if folder, err := SegmentsOf(filepath.Dir(days[0].Segments[0].Path)); err != nil || len(folder) != 3 {
		t.Error(folder, err)
	}
}
