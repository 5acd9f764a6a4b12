package tape

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kitestring/messages"
)

func record(t testing.TB, dir *Directory, boot string, at ...time.Time) {
	t.Helper()
	w := dir.NewWriter(WriterConfig{Boot: boot})
	for _, at := range at {
		if err := w.Append(Frame{At: at, Data: []byte{0}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func names(day Day) (list []string) {
	for _, s := range day.Segments {
		list = append(list, filepath.Base(s.Path))
	}
	return list
}

func TestSegmentsEndByTimeAndDate(t *testing.T) {
	dir := Open(t.TempDir())
	night := time.Date(2026, 11, 26, 23, 55, 0, 0, time.FixedZone("IST", 19800))
	record(t, dir, "b", morning, morning.Add(14*time.Minute), morning.Add(15*time.Minute), night, night.Add(6*time.Minute),
		morning) // the clock went back by a day
	days, err := dir.Days()
	if err != nil || len(days) != 2 || days[0].Day != "2026-11-26" || days[1].Day != "2026-11-27" {
		t.Fatal(days, err)
	}
	if got := names(days[0]); !slices.Equal(got, []string{"0915-00001-b.ks", "0930-00002-b.ks", "2355-00003-b.ks", "0915-00004-b.ks"}) {
		t.Error(got)
	}
	if got := names(days[1]); !slices.Equal(got, []string{"0001-00001-b.ks"}) {
		t.Error(got)
	}
	x, err := days[0].Segments[0].Index()
	if err != nil || x.Blocks != 2 || x.Frames != 2 || !x.First.Equal(morning) || !x.Last.Equal(morning.Add(14*time.Minute)) || x.Bytes != days[0].Segments[0].Bytes {
		t.Errorf("%+v %v", x, err)
	}
	for _, s := range days[0].Segments {
		if info, _ := os.Stat(s.Path); info.Mode().Perm() != 0o600 {
			t.Error(info.Mode())
		}
	}
}

// Starts in the same minute, with the same name even, never write into a file
// that is there.
func TestEachStartHasANewFile(t *testing.T) {
	dir := Open(t.TempDir())
	for range 3 {
		record(t, dir, "same", morning)
	}
	days, err := dir.Days()
	if err != nil || !slices.Equal(names(days[0]), []string{"0915-00001-same.ks", "0915-00002-same.ks", "0915-00003-same.ks"}) {
		t.Fatal(days, err)
	}
}

func TestASecondServerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder")
	first, err := OpenForWriting(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenForWriting(path)
	var used *InUseError
	if !errors.As(err, &used) || used.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprintf("process id %d records into %s already", os.Getpid(), path)) {
		t.Fatal(err)
	}
	record(t, first, "b", morning)
	if days, _ := Open(path).Days(); !days[0].Segments[0].Open {
		t.Error("the newest file of a recording server is not marked")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if days, _ := Open(path).Days(); days[0].Segments[0].Open {
		t.Error("a file is marked as written after the end")
	}
	again, err := OpenForWriting(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestPruneDeletesTheOldestAndWhatIsNotKept(t *testing.T) {
	dir := Open(t.TempDir())
	for i := range 5 {
		day := morning.AddDate(0, 0, i-4)
		record(t, dir, "b", day, day.Add(20*time.Minute))
	}
	if err := dir.Keep("2026-11-22", true); err != nil {
		t.Fatal(err)
	}
	if err := dir.Keep("2026-11-01", true); !errors.Is(err, ErrNoDay) {
		t.Error(err)
	}
	days, _ := dir.Days()
	one := days[0].Segments[0].Bytes
	left := func() (list []string) {
		days, err := dir.Days()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range days {
			list = append(list, fmt.Sprintf("%s:%d", d.Day[8:], len(d.Segments)))
		}
		return list
	}
	all := left()
	if named, err := dir.Prune(morning, Retention{Days: 3}, true); err != nil || len(named) != 2 || !slices.Equal(left(), all) {
		t.Error(named, err, left())
	}
	if deleted, err := dir.Prune(morning, Retention{Days: 3}, false); err != nil || len(deleted) != 2 {
		t.Error(deleted, err)
	}
	if got := left(); !slices.Equal(got, []string{"22:2", "24:2", "25:2", "26:2"}) {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Join(dir.Path(), "day=2026-11-23")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the folder of a deleted day stays:", err)
	}
	if _, err := dir.Prune(morning, Retention{Bytes: 5 * one}, false); err != nil {
		t.Error(err)
	}
	if got := left(); !slices.Equal(got, []string{"22:2", "25:1", "26:2"}) {
		t.Error(got)
	}
	if err := dir.Keep("2026-11-22", false); err != nil {
		t.Error(err)
	}
	if _, err := dir.Prune(morning, Retention{Days: 1}, false); err != nil || !slices.Equal(left(), []string{"26:2"}) {
		t.Error(left(), err)
	}
}

func TestADayKeepsItsInstruments(t *testing.T) {
	dir := Open(t.TempDir())
	const file = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n" +
		"256265,1001,NIFTY 50,NIFTY 50,0,,0,0.05,0,EQ,INDICES,NSE\nbroken\n\"x,y\n" +
		"13411330,52388,NIFTY26D0127450CE,NIFTY,0,2026-12-01,27450,0.05,75,CE,NFO-OPT,NFO\n"
	if err := dir.WriteInstruments("2026-11-26", []byte(file)); err != nil {
		t.Fatal(err)
	}
	f, err := dir.InstrumentsFile("2026-11-26")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || string(text) != file {
		t.Errorf("%q %v", text, err)
	}
	all, err := dir.Instruments("2026-11-26")
	if err != nil {
		t.Fatal(err)
	}
	want := messages.Instrument{
		Token: 256265, Exchange: "NSE", Tradingsymbol: "NIFTY 50", Name: "NIFTY 50", Type: "EQ", Segment: "INDICES", TickSize: 0.05,
	}
	if all[256265] != want || all[13411330].Strike != 27450 || all[13411330].Expiry.Format(time.DateOnly) != "2026-12-01" {
		t.Errorf("%+v", all)
	}
	if _, err := dir.Instruments("2026-11-25"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
