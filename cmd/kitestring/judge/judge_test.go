package judge

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
	"kitestring/supervisor/tree"
)

// taped writes a tape of half an hour of an index, its future and two options, a
// packet of each a second, received with a delay.
func taped(t *testing.T, delay func(n int) time.Duration) []tape.Segment {
	t.Helper()
	dir, err := tape.OpenForWriting(filepath.Join(t.TempDir(), "sim"))
	if err != nil {
		t.Fatal(err)
	}
	w := dir.NewWriter(tape.WriterConfig{Boot: "one"})
	open := time.Date(2026, 11, 27, 9, 15, 0, 0, ist.Zone)
	u := messages.Underlying{
		Name: "NIFTY", Index: messages.Instrument{Token: 256265}, Future: messages.Instrument{Token: 13568514}, Expiry: open.AddDate(0, 0, 4), Step: 50,
		Chain: []messages.Instrument{{Token: 1000<<8 + 2, Strike: 24000, Type: "CE"}, {Token: 1001<<8 + 2, Strike: 24000, Type: "PE"}},
	}
	event := func(at time.Time, k tape.Kind, data any) {
		e, err := tape.NewEvent(at, k, data)
		if err == nil {
			err = w.AppendEvent(e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	event(open.Add(delay(0)), tape.Resolved, messages.InstrumentsResolved{Underlyings: []messages.Underlying{u}})
	answer := messages.HistoryAnswered{InstrumentToken: u.Future.Token, From: open.AddDate(0, 0, -1), Asked: open}
	for i := range 200 {
		p := 24000 + float64(i%17)
		answer.Minutes = append(answer.Minutes, messages.OldMinute{float64(open.AddDate(0, 0, -1).Unix() + int64(60*i)), p, p + 5, p - 5, p + float64(i%5), 1000, 7})
	}
	event(open.Add(delay(1)), tape.HistoryCame, answer)
	for n := range 30 * 60 {
		at := open.Add(time.Duration(n) * time.Second)
		frame := []byte{0, 4}
		for k, token := range []uint32{u.Index.Token, u.Future.Token, u.Chain[0].Token, u.Chain[1].Token} {
			price := int32(24_000_00 + 100*(n%37) - 30*(n%11))
			if k > 1 {
				price = 100_00
			}
			p := wire.Packet{Tick: messages.Tick{
				InstrumentToken: token, Mode: messages.ModeFull, LastPrice: price, Open: price, High: price, Low: price, Close: price,
				Volume: uint32(n * 75), OI: uint32(1000 * (k + 1)), ExchangeTime: uint32(at.Unix()), LastTradeTime: uint32(at.Unix()),
			}}
			packet := wire.AppendPacket(nil, &p, messages.ModeFull)
			frame = append(frame, byte(len(packet)>>8), byte(len(packet)))
			frame = append(frame, packet...)
		}
		if err := w.Append(tape.Frame{At: at.Add(delay(n)), Socket: 1, Generation: 1, Data: frame}); err != nil {
			t.Fatal(err)
		}
		if w.Full() {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	day, err := dir.Day("2026-11-27")
	if err != nil {
		t.Fatal(err)
	}
	return day.Segments
}

// The readings of a tape depend on its packets only: not on when they were
// received, nor on how often it is read.
func TestJudgeGivesTheSameOfTheSamePackets(t *testing.T) {
	judged := func(segments []tape.Segment) Result {
		t.Helper()
		unavailable := map[string]bool{}
		j, err := Run(context.Background(), segments, tree.Reloadable{}, func(_ time.Time, r messages.Reading) {
			unavailable[r.Kind] = r.Status == messages.Unavailable
		})
		if err != nil {
			t.Fatal(err)
		}
		if unavailable["volume_pulse"] || unavailable["candle_intent"] {
			t.Error("the history on the tape is not used")
		}
		return j
	}
	prompt := taped(t, func(int) time.Duration { return 3 * time.Millisecond })
	first := judged(prompt)
	if first.Readings < 28*7 || len(first.Kinds) != 7 {
		t.Fatalf("%+v", first)
	}
	if again := judged(prompt); again.SHA256 != first.SHA256 {
		t.Error("another hash of the same tape")
	}
	late := taped(t, func(n int) time.Duration { return time.Duration(min(n, 20_000)) * 4 * time.Millisecond })
	if other := judged(late); other.SHA256 != first.SHA256 {
		a, _ := json.Marshal(first.Kinds)
		b, _ := json.Marshal(other.Kinds)
		t.Errorf("received later, the readings are others:\n%s\n%s", a, b)
	}
	if same := judged(prompt[:1]); same.SHA256 == first.SHA256 {
		t.Error("half of the packets have the hash of all")
	}
}
