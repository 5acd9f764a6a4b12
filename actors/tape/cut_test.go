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
