package replay_test

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kitestring/actors/replay"
	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/wire"
)

var open = time.Date(2026, 11, 27, 9, 15, 0, 0, time.FixedZone("IST", 19800))

// recording makes a day of what a test does.
type recording struct {
	*testing.T
	dir string
	w   *tape.Writer
	at  time.Time
}

func record(t *testing.T, steps func(r *recording)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "record", "sim")
	d, err := tape.OpenForWriting(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{t, dir, d.NewWriter(tape.WriterConfig{Boot: "b"}), open}
	r.event(tape.ProcessStarted, map[string]any{"profile": "sim"})
	steps(r)
	if err := errors.Join(r.w.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *recording) event(k tape.Kind, data any) {
	e, err := tape.NewEvent(r.at, k, data)
	if err == nil {
		err = r.w.AppendEvent(e)
	}
	if err != nil {
		r.Fatal(err)
	}
}

func (r *recording) socket(k tape.Kind, id uint64) {
	r.event(k, map[string]any{"shard": 0, "socket": id, "generation": id})
}

// packet is the n-th packet of an instrument.
func packet(instrument, n uint32, mode messages.Mode) []byte {
	return wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{
		InstrumentToken: instrument<<8 | uint32(messages.NSE), LastPrice: int32(n), Volume: n, LastQuantity: n, ExchangeTime: uint32(open.Unix()) + n/4, LastTradeTime: uint32(open.Unix()) + n/4,
	}}, mode)
}

func (r *recording) frame(id uint64, packets ...[]byte) {
	r.at = r.at.Add(10 * time.Millisecond)
	if err := r.w.Append(tape.Frame{At: r.at, Socket: id, Generation: messages.Generation(id), Data: wire.AppendFrame(nil, packets...)}); err != nil {
		r.Fatal(err)
	}
}

func segments(t *testing.T, dir string) []tape.Segment {
	t.Helper()
	day, err := tape.Open(dir).Day("2026-11-27")
	if err != nil {
		t.Fatal(err)
	}
	return day.Segments
}

// replayed are the last prices of each instrument, in the order of the stream.
func replayed(t *testing.T, dir, what string) map[uint32][]uint32 {
	t.Helper()
	s, err := replay.Open(dir, what)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := map[uint32][]uint32{}
	before := time.Time{}
	for {
		b, err := s.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.At.Before(before) {
			t.Errorf("%s comes after %s", b.At, before)
		}
		before = b.At
		for _, p := range b.Packets {
			instrument := binary.BigEndian.Uint32(p) >> 8
			got[instrument] = append(got[instrument], binary.BigEndian.Uint32(p[4:]))
		}
	}
}

func upTo(n uint32) (list []uint32) {
	for i := uint32(1); i <= n; i++ {
		list = append(list, i)
	}
	return list
}

// Two sockets that overlap while the token changes give each packet once; the
// answers to subscriptions, in either mode, give none.
func TestASwapIsOneStream(t *testing.T) {
	full := func(instrument, n uint32) []byte { return packet(instrument, n, messages.ModeFull) }
	dir := record(t, func(r *recording) {
		r.socket(tape.SocketOpened, 1)
		for n := uint32(1); n <= 4; n++ {
			r.frame(1, full(1, n), full(2, n))
		}
		r.socket(tape.SocketOpened, 2)
		r.frame(2, packet(1, 4, messages.ModeQuote), packet(2, 4, messages.ModeQuote))
		r.frame(2, full(1, 4), full(2, 4))
		r.frame(2, full(1, 5)) // ahead
		r.frame(1, full(1, 5), full(2, 5))
		r.frame(2, full(2, 5), full(1, 6))
		r.socket(tape.SocketClosed, 1)
		r.frame(1, full(1, 99)) // on its way when it was given up
		for n := uint32(6); n <= 9; n++ {
			r.frame(2, full(1, n), full(2, n))
		}
		r.frame(2, []byte("no packet")[:3])
		r.socket(tape.SocketClosed, 2)
		r.event(tape.ProcessStarted, map[string]any{}) // and its sockets count from 1 again
		r.socket(tape.SocketOpened, 1)
		r.frame(1, full(1, 9))
		r.frame(1, full(1, 10), full(2, 10))
	})
	swapped, damage, err := replay.Hashes(segments(t, dir))
	if err != nil || len(damage) > 0 {
		t.Fatal(damage, err)
	}
	straight := record(t, func(r *recording) {
		r.socket(tape.SocketOpened, 1)
		for n := uint32(1); n <= 10; n++ {
			r.frame(1, full(1, n), full(2, n))
		}
	})
	if want, _, err := replay.Hashes(segments(t, straight)); err != nil || !maps.Equal(swapped, want) || len(want) != 2 {
		t.Errorf("hashes %v, without a swap %v, %v", swapped, want, err)
	}
	got := replayed(t, dir, "2026-11-27")
	for instrument := uint32(1); instrument <= 2; instrument++ {
		if !slices.Equal(got[instrument], upTo(10)) {
			t.Errorf("instrument %d: %v", instrument, got[instrument])
		}
	}
}

// What is damaged costs what follows it in its file, and is named.
func TestDamageIsLeftOut(t *testing.T) {
	dir := record(t, func(r *recording) {
		r.socket(tape.SocketOpened, 1)
		for n := uint32(1); n <= 20; n++ {
			r.frame(1, packet(1, n, messages.ModeFull))
			if err := r.w.Flush(); err != nil {
				r.Fatal(err)
			}
		}
	})
	day, err := tape.Open(dir).Day("2026-11-27")
	if err != nil {
		t.Fatal(err)
	}
	path := day.Segments[0].Path
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"2026-11-27", path} {
		s, err := replay.Open(dir, what)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for {
			b, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n += len(b.Packets)
		}
		if d := s.Damage(); n == 0 || n >= 20 || len(d) != 1 || d[0].Bytes <= 0 || d[0].Offset <= 0 || d[0].Path != path {
			t.Errorf("%d packets, damage %+v", n, d)
		}
	}
}

func TestNothingRecorded(t *testing.T) {
	for _, what := range []string{"2026-11-28", "yesterday", "nowhere.ks"} {
		if _, err := replay.Open(t.TempDir(), what); err == nil {
			t.Error(what)
		}
	}
}
