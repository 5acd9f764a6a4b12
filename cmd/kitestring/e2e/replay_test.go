package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	kiteconnect "github.com/zerodha/gokiteconnect/v4"
	"github.com/zerodha/gokiteconnect/v4/models"
	kiteticker "github.com/zerodha/gokiteconnect/v4/ticker"

	"kitestring/actors/actorstest"
	"kitestring/actors/replay"
	"kitestring/actors/simulator"
	"kitestring/actors/tape"
	"kitestring/actors/tape/export"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// For the days of a real server: kitestring soak days --keep DIR records them.
var recordings = flag.String("recordings", "", "folder with recorded days, DIR/state/record/sim, for TestRecordedDay in place of the one that it makes")

// came is what has come of an instrument.
type came struct {
	Ticks  int     `json:"ticks"`
	Price  float64 `json:"price"` // the last one, rupees
	Volume int64   `json:"volume"`
}

// take takes a packet as Kite sent it.
func (c *came) take(packet []byte) {
	token := binary.BigEndian.Uint32(packet)
	c.Ticks++
	c.Price = rupees(token, int32(binary.BigEndian.Uint32(packet[4:])))
	if len(packet) >= 44 {
		c.Volume = int64(binary.BigEndian.Uint32(packet[16:]))
	}
}

func rupees(token uint32, price int32) float64 {
	return float64(price) / float64(messages.Divisor(token))
}

// One recording, three readers that this program did not write: Kite's clients
// for Go and JavaScript, on a replay of it, and Apache Arrow, of its export. Each
// has every instrument's ticks, last price and volume of the tape.
func TestRecordedDay(t *testing.T) {
	directory := *recordings
	var made map[uint32]came
	if directory == "" {
		directory, made = makeDay(t)
	}
	days, err := tape.Open(directory).Days()
	if err != nil || len(days) == 0 {
		t.Fatal(days, err)
	}
	for _, day := range days {
		stream := streamOf(t, directory, day.Day)
		if made != nil && !maps.Equal(stream, made) {
			t.Fatalf("the stream has %v, sent was %v", stream, made)
		}
		total := 0
		for _, c := range stream {
			total += c.Ticks
		}
		t.Logf("%s: %d segments, stream of %d ticks, %d instruments", day.Day, len(day.Segments), total, len(stream))
		for name, client := range map[string]streamer{"Go": goStreams, "JavaScript": nodeStreams} {
			t.Run(day.Day+" "+name, func(t *testing.T) {
				began := time.Now()
				got := replayTo(t, directory, day.Day, stream, client)
				same(t, "the client", got, stream)
				t.Logf("%d ticks, %d instruments equal, %s", total, len(got), time.Since(began).Round(time.Millisecond))
			})
		}
		t.Run(day.Day+" Arrow", func(t *testing.T) { exported(t, directory, day) })
	}
}

func same(t *testing.T, who string, got, want map[uint32]came) {
	t.Helper()
	for token, w := range want {
		if g := got[token]; g.Ticks != w.Ticks || g.Volume != w.Volume || math.Abs(g.Price-w.Price) > 1e-9 {
			t.Errorf("instrument %d: %s has %+v, the tape %+v", token, who, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s has %d instruments, the tape %d", who, len(got), len(want))
	}
}

// streamOf is what a replay of the day sends of each instrument.
func streamOf(t *testing.T, directory, day string) map[uint32]came {
	t.Helper()
	s, err := replay.Open(directory, day)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := map[uint32]came{}
	for {
		b, err := s.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, packet := range b.Packets {
			token := binary.BigEndian.Uint32(packet)
			c := all[token]
			c.take(packet)
			all[token] = c
		}
	}
}

// streamer streams instruments in full until ctx ends; seen is what has come up
// to a moment after the call, and every close and error.
type streamer func(ctx context.Context, t *testing.T, addr, accessToken string, tokens []uint32) (seen func() (map[uint32]came, []string))

// replayTo plays a day as fast as the client reads, and gives what it has got
// without the answers to its two commands.
func replayTo(t *testing.T, directory, day string, want map[uint32]came, client streamer) map[uint32]came {
	t.Helper()
	stream, err := replay.Open(directory, day)
	if err != nil {
		t.Fatal(err)
	}
	instruments, err := stream.Instruments()
	if err != nil {
		t.Fatal(err)
	}
	answered := map[uint32]bool{}
	opened := false
	e, err := simulator.New(simulator.Config{RedirectURL: "http://127.0.0.1/callback", Tape: &simulator.Recording{
		Day: day, Instruments: instruments, Sequenced: stream.Sequenced(), Max: true, Close: stream.Close,
		Next: func() (time.Time, [][]byte, error) {
			b, err := stream.Next()
			if !opened { // what is read ahead answers a subscription
				for _, packet := range b.Packets {
					answered[binary.BigEndian.Uint32(packet)] = true
				}
			}
			return b.At, b.Packets, err
		},
	}})
	if err == nil {
		opened = true
		err = e.Listen("127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = e.Serve(ctx) })
	defer func() { cancel(); done.Wait(); _ = e.Close() }()
	seen := client(ctx, t, e.Addr(), login(t, e), slices.Sorted(maps.Keys(want)))
	actorstest.Until(t, "the end of the recording", func() bool { r, _ := e.Replay(); return r.Ended })
	var got map[uint32]came
	sum := func(all map[uint32]came) (n int) {
		for _, c := range all {
			n += c.Ticks
		}
		return n
	}
	expected := sum(want) + 2*len(answered)
	ended := time.Now()
	actorstest.Until(t, "every tick", func() bool {
		var trouble []string
		if got, trouble = seen(); len(trouble) > 0 {
			t.Fatalf("trouble: %q", trouble)
		}
		return sum(got) >= expected || time.Since(ended) > 10*time.Second
	})
	got, _ = seen() // and not one more
	for token := range answered {
		c := got[token]
		c.Ticks -= 2
		got[token] = c
	}
	return got
}

// login is an access token of the exchange.
func login(t *testing.T, e *simulator.Exchange) string {
	t.Helper()
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := browser.Get(e.LoginURL() + "?v=3&api_key=" + url.QueryEscape(e.APIKey()))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	back, err := response.Location()
	if err != nil {
		t.Fatal(err)
	}
	client := kiteconnect.New(e.APIKey())
	client.SetBaseURI(e.APIURL())
	session, err := client.GenerateSession(back.Query().Get("request_token"), "simsecret")
	if err != nil {
		t.Fatal(err)
	}
	return session.AccessToken
}

func goStreams(ctx context.Context, t *testing.T, addr, accessToken string, tokens []uint32) func() (map[uint32]came, []string) {
	var mu sync.Mutex
	all := map[uint32]came{}
	var trouble []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			trouble = append(trouble, fmt.Sprintf(format, args...))
		}
	}
	ticker := kiteticker.New("simkey", accessToken)
	ticker.SetRootURL(url.URL{Scheme: "ws", Host: addr})
	ticker.OnConnect(func() {
		if err := errors.Join(ticker.Subscribe(tokens), ticker.SetMode(kiteticker.ModeFull, tokens)); err != nil {
			note("subscribe: %v", err)
		}
	})
	ticker.OnTick(func(k models.Tick) {
		mu.Lock()
		defer mu.Unlock()
		c := all[k.InstrumentToken]
		c.Ticks, c.Price = c.Ticks+1, k.LastPrice
		if k.VolumeTraded > 0 {
			c.Volume = int64(k.VolumeTraded)
		}
		all[k.InstrumentToken] = c
	})
	ticker.OnError(func(err error) { note("error: %v", err) })
	ticker.OnClose(func(code int, reason string) { note("closed: %d %s", code, reason) })
	done := make(chan struct{})
	go func() { defer close(done); ticker.ServeWithContext(ctx) }()
	t.Cleanup(func() { <-done })
	return func() (map[uint32]came, []string) {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(all), slices.Clone(trouble)
	}
}

func nodeStreams(_ context.Context, t *testing.T, addr, accessToken string, tokens []uint32) func() (map[uint32]came, []string) {
	script, err := os.ReadFile(filepath.Join(nodeFolder, "replay.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(tokens), " ", ","), "[]")
	lines := nodeProgram(t, string(script), addr, "simkey", accessToken, list)
	return func() (map[uint32]came, []string) {
		var said struct {
			Seen    map[uint32]came `json:"seen"`
			Trouble []string        `json:"trouble"`
		}
		until(t, lines, "the counts of the JavaScript client", func(line string, old bool) bool {
			clear(said.Seen)
			if err := json.Unmarshal([]byte(line), &said); err != nil {
				t.Fatalf("the JavaScript client said %q", line)
			}
			return !old
		})
		return said.Seen, said.Trouble
	}
}

// exported exports a day and reads it with Apache Arrow.
func exported(t *testing.T, directory string, day tape.Day) {
	type row struct {
		came
		first float64
	}
	// The export is in the order of receipt, which is another one than the tape's
	// where the clock was set back.
	type tick struct {
		at     time.Time
		packet []byte
	}
	taped := map[uint32][]tick{}
	_, damage, err := tape.Read(day.Segments, time.Time{}, time.Time{}, func(records []tape.Record) error {
		tape.Packets(records, func(r *tape.Record, packet []byte) {
			token := binary.BigEndian.Uint32(packet)
			taped[token] = append(taped[token], tick{r.At, bytes.Clone(packet)})
		})
		return nil
	})
	if err != nil || len(damage) > 0 {
		t.Fatal(damage, err)
	}
	recorded := map[uint32]row{}
	for token, ticks := range taped {
		slices.SortStableFunc(ticks, func(a, b tick) int { return a.at.Compare(b.at) })
		var r row
		for i, one := range ticks {
			if r.take(one.packet); i == 0 {
				r.first = r.Price
			}
		}
		recorded[token] = r
	}
	out := t.TempDir()
	report, err := export.Run(t.Context(), export.Config{Directory: tape.Open(directory), Day: day.Day, Format: export.Parquet, Out: out})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(out, "date="+day.Day, "exchange=*", "ticks-*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	read := map[uint32]row{}
	rows, nulls := 0, 0
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		table, err := pqarrow.ReadTable(t.Context(), f, nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		defer table.Release()
		var token uint32
		var received int64
		records := array.NewTableReader(table, 0)
		defer records.Release()
		for records.Next() {
			batch := records.RecordBatch()
			rows += int(batch.NumRows())
			of := func(name string) int { return batch.Schema().FieldIndices(name)[0] }
			tokens, times := batch.Column(of("instrument_token")).(*array.Int64), batch.Column(of("received")).(*array.Timestamp)
			dates, prices := batch.Column(of("ist_date")).(*array.Date32), batch.Column(of("last_price")).(*array.Float64)
			volumes := batch.Column(of("volume")).(*array.Int64)
			if zone := times.DataType().String(); zone != "timestamp[us, tz=UTC]" {
				t.Fatalf("received is %s", zone)
			}
			for i := range tokens.Len() {
				now, at := uint32(tokens.Value(i)), int64(times.Value(i))
				if now < token || now == token && at < received {
					t.Fatalf("%s: instrument %d at %d behind %d at %d", path, now, at, token, received)
				}
				token, received = now, at
				if date := dates.Value(i).ToTime().Format(time.DateOnly); date != day.Day || time.UnixMicro(at).In(ist.Zone).Format(time.DateOnly) != date {
					t.Fatalf("%s: received %s, date %s", path, time.UnixMicro(at).UTC(), date)
				}
				r, known := read[now]
				r.Ticks++
				if r.Price = prices.Value(i); !known {
					r.first = r.Price
				}
				if volumes.IsValid(i) {
					r.Volume = volumes.Value(i)
				} else {
					nulls++
				}
				read[now] = r
			}
		}
	}
	for token, want := range recorded {
		if got := read[token]; got != want {
			t.Errorf("instrument %d: the export has %+v, the tape %+v", token, got, want)
		}
	}
	if len(read) != len(recorded) || int64(rows) != report.Ticks {
		t.Errorf("%d instruments of %d, %d rows of %d ticks", len(read), len(recorded), rows, report.Ticks)
	}
	t.Logf("%d rows, %d without a volume, %d instruments in %d files equal", rows, nulls, len(read), len(files))
}

// makeDay records a morning in four segments: a clock that is set back, a change
// of the token with two sockets that overlap, a socket that was cut, rubbish, a
// start of the program.
func makeDay(t *testing.T) (directory string, sent map[uint32]came) {
	t.Helper()
	const share, index, future = 738561, 256265, 13411330
	directory = t.TempDir()
	d, err := tape.OpenForWriting(directory)
	if err != nil {
		t.Fatal(err)
	}
	w := d.NewWriter(tape.WriterConfig{Boot: "test"})
	at := time.Date(2026, 11, 26, 9, 15, 0, 0, ist.Zone)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	event := func(k tape.Kind, data any) {
		e, err := tape.NewEvent(at, k, data)
		must(err)
		must(w.AppendEvent(e))
	}
	socket := func(k tape.Kind, id uint64) {
		event(k, map[string]any{"shard": 0, "socket": id, "generation": id})
	}
	frame := func(id uint64, data []byte) {
		at = at.Add(20 * time.Millisecond)
		must(w.Append(tape.Frame{At: at, Socket: id, Generation: messages.Generation(id), Data: data}))
		if w.Full() {
			must(w.Flush())
		}
	}
	n := uint32(0)
	packets := func(mode messages.Mode) (all [][]byte) {
		for i, token := range []uint32{share, index, future} {
			p := &wire.Packet{}
			p.InstrumentToken, p.LastPrice, p.LastQuantity = token, int32(100_000*(i+1))+int32(n%977), n
			p.ExchangeTime, p.LastTradeTime = uint32(at.Unix()), uint32(at.Unix())
			p.Volume = 10*n + uint32(i)
			all = append(all, wire.AppendPacket(nil, p, mode))
		}
		return all
	}
	sent = map[uint32]came{}
	ticks := func(count int, ids ...uint64) {
		for range count {
			n++
			all := packets(messages.ModeFull)
			for _, packet := range all {
				token := binary.BigEndian.Uint32(packet)
				c := sent[token]
				c.take(packet)
				sent[token] = c
			}
			for _, id := range ids {
				frame(id, wire.AppendFrame(nil, all...))
			}
			if n%50 == 0 {
				frame(ids[0], wire.HeartbeatFrame())
				frame(ids[0], []byte{0, 9, 1}) // malformed
			}
		}
	}
	later := func() { must(w.Flush()); at = at.Add(tape.SegmentTime + 5*time.Minute) }
	event(tape.ProcessStarted, map[string]any{"profile": "sim"})
	socket(tape.SocketOpened, 1)
	ticks(1, 1)
	must(w.Flush())
	at = at.Add(-2 * time.Minute) // the clock is set right
	ticks(1500, 1)
	later()
	before := packets(messages.ModeFull)
	socket(tape.SocketOpened, 2)
	frame(2, wire.AppendFrame(nil, before...)) // the answer to the subscription
	ticks(200, 1, 2)
	socket(tape.SocketClosed, 1)
	ticks(500, 2)
	later()
	socket(tape.SocketClosed, 2) // cut
	event(tape.GapFound, map[string]any{"shard": 0})
	socket(tape.SocketOpened, 3)
	ticks(500, 3)
	socket(tape.SocketClosed, 3)
	later()
	event(tape.ProcessStarted, map[string]any{})
	socket(tape.SocketOpened, 1)
	ticks(500, 1)
	must(errors.Join(w.Close(), d.WriteInstruments("2026-11-26", []byte("instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n"+
		"256265,1001,NIFTY 50,NIFTY 50,0,,0,0.05,1,EQ,INDICES,NSE\n738561,2885,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.05,1,EQ,NSE,NSE\n"+
		"13411330,52388,NIFTY26DECFUT,NIFTY,0,2026-12-29,0,0.05,65,FUT,NFO-FUT,NFO\n")), d.Close()))
	if day, err := tape.Open(directory).Day("2026-11-26"); err != nil || len(day.Segments) != 4 {
		t.Fatalf("%d segments, %v", len(day.Segments), err)
	}
	return directory, sent
}
