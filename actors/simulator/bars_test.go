package simulator_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// row is a bar, in paise.
type row struct {
	open, high, low, close int32
	volume                 uint32
}

const layout = "2006-01-02 15:04:05"

// inSession reads the rows of a file that begin between 09:15 and 15:25.
func inSession(t testing.TB, name string) map[string]row {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	for _, l := range lines[1:] {
		if clock := l[0][11:]; clock < "09:15:00" || clock > "15:25:00" {
			continue
		}
		var v [5]float64
		for i := range v {
			if v[i], err = strconv.ParseFloat(l[i+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		p := func(x float64) int32 { return int32(math.Round(x * 100)) }
		rows[l[0]] = row{p(v[0]), p(v[1]), p(v[2]), p(v[3]), uint32(v[4])}
	}
	return rows
}

// The bars that the ticks make are the bars that went in, to the paisa: the
// index', and the future's with the volume.
func TestBarsComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	dir := actorstest.Shared(t, "bars")
	e := open(t, false, func(c *simulator.Config) { c.BarsDir = dir; c.Start = time.Time{} })
	names := map[string]uint32{"nifty": 256265, "banknifty": 260105, "sensex": 265}
	s := e.mustDial()
	type source struct {
		name   string
		future bool
	}
	of := map[uint32]source{}
	var watched []uint32
	watch := func() {
		var fresh []uint32
		for name, token := range names {
			if _, ok := of[token]; !ok {
				of[token] = source{name, false}
				fresh = append(fresh, token)
			}
		}
		near := map[string]bool{}
		for _, in := range e.Instruments() {
			name := strings.ToLower(in.Name)
			if in.Type == "FUT" && !near[name] { // the first of the file is the near one
				near[name] = true
				if _, ok := of[in.Token]; !ok {
					of[in.Token] = source{name, true}
					fresh = append(fresh, in.Token)
				}
			}
		}
		if len(fresh) > 0 {
			watched = append(watched, fresh...)
			s.mode(messages.ModeFull, fresh...)
		}
	}
	built := map[source]map[string]row{}
	volumes := map[uint32]uint32{}
	days := map[uint32]string{}
	add := func(k messages.Tick) {
		src := of[k.InstrumentToken]
		at := time.Unix(int64(k.ExchangeTime), 0).In(start.Location())
		if clock := at.Format("15:04"); clock < "09:15" || clock >= "15:30" {
			return // the cached tick of the evening before
		}
		if day := at.Format(time.DateOnly); days[k.InstrumentToken] != day {
			days[k.InstrumentToken], volumes[k.InstrumentToken] = day, 0
		}
		key := at.Truncate(5 * time.Minute).Format(layout)
		if built[src] == nil {
			built[src] = map[string]row{}
		}
		b, ok := built[src][key]
		if !ok {
			b = row{k.LastPrice, k.LastPrice, k.LastPrice, 0, 0}
		}
		b.high, b.low, b.close = max(b.high, k.LastPrice), min(b.low, k.LastPrice), k.LastPrice
		b.volume += k.Volume - volumes[k.InstrumentToken]
		volumes[k.InstrumentToken] = k.Volume
		built[src][key] = b
	}
	watch()
	for got := 0; got < len(watched); {
		got += len(s.ticks())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ended := make(chan int)
	go func() {
		n := 0
		defer func() { ended <- n }()
		for {
			kind, data, err := s.conn.ReadMessage()
			if err != nil {
				return
			}
			if kind != websocket.BinaryMessage {
				continue
			}
			var d wire.Decoder
			ticks, err := d.Decode(data, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for _, k := range ticks {
				add(k)
				n++
			}
		}
	}()
	month := e.Clock().Now().Month()
	for {
		more, err := e.Step(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
		if now := e.Clock().Now().Month(); now != month {
			t.Fatalf("the test follows the future of March; it is %v", now)
		}
		if e.Clock().Now().Format(time.DateOnly) > "2026-03-25" {
			break // the near future of March ends; the index goes on below
		}
	}
	// The rest of the file, on the indices.
	if err := play(ctx, e.Exchange); err != nil {
		t.Fatal(err)
	}
	if st := e.State(); !st.Market.BarsFinished || st.Sent.SlowSockets != 0 {
		t.Errorf("state: %+v", st.Market)
	}
	e.CloseSockets()
	t.Logf("%d ticks", <-ended)
	compared, futures := 0, 0
	for name := range names {
		rows := inSession(t, filepath.Join(dir, name+"_5m.csv"))
		index, future := built[source{name, false}], built[source{name, true}]
		for at, want := range rows {
			got := index[at]
			got.volume = want.volume // an index has none
			if got != want {
				t.Errorf("%s %s: %+v, want %+v", name, at, got, want)
			}
			compared++
			if at < "2026-03-25" {
				if got := future[at]; got != want {
					t.Errorf("%s future %s: %+v, want %+v", name, at, got, want)
				}
				futures++
			}
		}
		if len(index) != len(rows) {
			t.Errorf("%s: %d bars, want %d", name, len(index), len(rows))
		}
	}
	t.Logf("%d bars of indices and %d of futures compared", compared, futures)
	if compared < 1000 || futures < 600 {
		t.Errorf("%d and %d bars compared", compared, futures)
	}
	// History has the same, and joins what was before the file.
	header := authorisation(e.token())
	var body struct {
		Data struct{ Candles [][]any }
	}
	_, text := e.do(http.MethodGet, "/instruments/historical/256265/5minute?from=2026-03-02+09:15:00&to=2026-04-30+15:30:00", "", header)
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatal(err)
	}
	rows := inSession(t, filepath.Join(dir, "nifty_5m.csv"))
	if len(body.Data.Candles) != len(rows) {
		t.Errorf("history has %d candles, the file %d", len(body.Data.Candles), len(rows))
	}
	for _, c := range body.Data.Candles {
		at, err := time.Parse("2006-01-02T15:04:05-0700", c[0].(string))
		if err != nil {
			t.Fatal(err)
		}
		want := rows[at.Format(layout)]
		if got := fmt.Sprintf("%.2f %.2f %.2f %.2f", c[1], c[2], c[3], c[4]); got != fmt.Sprintf("%.2f %.2f %.2f %.2f", float64(want.open)/100, float64(want.high)/100, float64(want.low)/100, float64(want.close)/100) {
			t.Errorf("history %v, file %+v", c, want)
		}
	}
	_, text = e.do(http.MethodGet, "/instruments/historical/256265/day?from=2026-02-20+00:00:00&to=2026-03-02+00:00:00", "", header)
	body.Data.Candles = nil
	if err := json.Unmarshal([]byte(text), &body); err != nil || len(body.Data.Candles) != 7 {
		t.Fatalf("days before the file: %v", body.Data.Candles)
	}
	before, first := body.Data.Candles[5][4].(float64), body.Data.Candles[6][1].(float64)
	if before < first*0.99 || before > first*1.01 {
		t.Errorf("the day before closed at %v, the file opens at %v", before, first)
	}
}

// write makes a folder with one file of bars.
func writeBars(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBadBars(t *testing.T) {
	t.Parallel()
	const header = "time_ist,open,high,low,close,volume\n"
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "header"},
		"columns":          {"time,open,high,low,close,volume\n", "time_ist"},
		"time":             {header + "soon,1,1,1,1,0\n", "line 2"},
		"price":            {header + "2026-03-02 09:15:00,x,1,1,1,0\n", "line 2"},
		"finer than paise": {header + "2026-03-02 09:15:00,1.005,2,1,1,0\n", "paise"},
		"high":             {header + "2026-03-02 09:15:00,2,1,1,2,0\n", "high"},
		"volume":           {header + "2026-03-02 09:15:00,1,1,1,1,-5\n", "volume"},
		"order":            {header + "2026-03-02 09:20:00,1,1,1,1,0\n2026-03-02 09:15:00,1,1,1,1,0\n", "line 3"},
		"nothing left":     {header + "2026-03-02 08:55:00,1,1,1,1,0\n", "no row"},
		"short row":        {header + "2026-03-02 09:15:00,1\n", "fields"},
	} {
		_, err := simulator.New(simulator.Config{BarsDir: writeBars(t, "nifty_5m.csv", c.text)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := simulator.New(simulator.Config{BarsDir: writeBars(t, "other.csv", "")}); err == nil || !strings.Contains(err.Error(), "nifty_5m.csv") {
		t.Errorf("no file: %v", err)
	}
}

// Run plays at the clock's speed, jumps over what the file leaves out, and
// ends with the market closed.
func TestBarsRun(t *testing.T) {
	t.Parallel()
	dir := writeBars(t, "nifty_5m.csv", "time_ist,open,high,low,close,volume,chain_oi\n"+
		"2026-03-02 09:15:00,24659.25,24948.45,24659.25,24892.95,100,0\n"+
		"2026-03-02 09:20:00,24891.3,24958.8,24878.8,24896.5,0,0\n"+
		"2026-03-04 11:00:00,24500.05,24510,24490,24495.5,650,0\n")
	e := open(t, true, func(c *simulator.Config) { c.BarsDir = dir; c.Speed = 3000; c.Start = time.Time{} })
	s := e.mustDial()
	s.mode(messages.ModeFull, 256265)
	last := map[string]int32{}
	for last["2026-03-04"] != 2449550 {
		for _, k := range s.ticks() {
			last[time.Unix(int64(k.ExchangeTime), 0).In(start.Location()).Format(time.DateOnly)] = k.LastPrice
		}
	}
	if last["2026-03-02"] != 2489650 && len(last) > 2 {
		t.Errorf("closes: %v", maps.Collect(maps.All(last)))
	}
	actorstest.Until(t, "the end", func() bool { return e.State().Market.BarsFinished })
	actorstest.Until(t, "the close", func() bool { return !e.Clock().Now().Before(time.Date(2026, 3, 4, 15, 30, 0, 0, start.Location())) })
	if response, _ := e.do(http.MethodPost, "/sim/v1/clock", `{"now":"2026-06-16T10:00:00+05:30"}`, nil); response.StatusCode != 400 {
		t.Errorf("a clock moved in a playback: %d", response.StatusCode)
	}
	if _, err := newExchange(t, nil).Step(t.Context()); err == nil {
		t.Error("stepped through nothing")
	}
}

// A special session on a Sunday is played like any other day.
func TestBarsOfASunday(t *testing.T) {
	t.Parallel()
	dir := writeBars(t, "sensex_5m.csv", "time_ist,open,high,low,close,volume\n"+
		"2026-01-30 15:25:00,82000.5,82010,81990.25,82001.01,20\n"+
		"2026-02-01 09:15:00,82100.5,82110,81990.25,82001.05,40\n")
	e := open(t, false, func(c *simulator.Config) { c.BarsDir = dir; c.Start = time.Time{} })
	s := e.mustDial()
	s.mode(messages.ModeFull, 265)
	s.ticks()
	if err := play(t.Context(), e.Exchange); err != nil {
		t.Fatal(err)
	}
	var got []int32
	for len(got) < 8 {
		for _, k := range s.ticks() {
			got = append(got, k.LastPrice)
			if len(got) > 4 && k.Close != 8200101 {
				t.Errorf("on Sunday the close before is %d", k.Close)
			}
		}
	}
	if want := []int32{8200050, 8201000, 8199025, 8200101, 8210050, 8211000, 8199025, 8200105}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// play steps to the end of the bars.
func play(ctx context.Context, e *simulator.Exchange) error {
	for {
		if more, err := e.Step(ctx); err != nil || !more {
			return err
		}
	}
}
