package feed

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"kitestring/actors/kite"
	"kitestring/messages/ist"
)

// The answer to the first question may be so late that the socket has ended
// meanwhile: what was placed since the question is news then, and only that.
func TestOrdersOfAfterTheFirstQuestionAreNews(t *testing.T) {
	row := func(id, status string, at time.Time) (o kite.Order) {
		o.OrderID = id
		o.Raw = json.RawMessage(fmt.Sprintf(`{"order_id":%q,"status":%q,"order_timestamp":%q,"exchange_update_timestamp":null}`, id, status, at.In(ist.Zone).Format(ist.Layout)))
		return o
	}
	asked, since := time.Now(), time.Date(2026, 3, 11, 9, 15, 0, 200e6, ist.Zone)
	rows := []kite.Order{
		row("old", "COMPLETE", since.Add(-time.Minute)), row("live", "OPEN", since), row("missed", "OPEN", since),
		{Raw: json.RawMessage(`{"order_id":"undated"}`)},
	}
	rows[3].OrderID = "undated"
	b := orderBook{flood: logBudget{most: 9, per: time.Second}}
	b.update("live", []byte(`{"status":"OPEN"}`), asked.Add(time.Second))
	if news := b.reconcile(rows, asked, since); len(news) != 0 {
		t.Errorf("the first answer gave %+v", news)
	}
	rows[0] = row("old", "CANCELLED", since.Add(time.Second))
	var news []string
	for _, m := range b.reconcile(rows, asked.Add(2*time.Second), since.Add(2*time.Second)) {
		news = append(news, m.OrderID+" "+m.Status)
	}
	if want := []string{"old CANCELLED", "missed OPEN"}; !slices.Equal(news, want) {
		t.Errorf("the second answer gave %q, want %q", news, want)
	}
	if news := b.reconcile(rows, asked.Add(3*time.Second), since.Add(3*time.Second)); len(news) != 0 {
		t.Errorf("the third answer gave %+v", news)
	}
}

// A flood of orders costs a bounded map and a bounded number of messages; what
// was left out is found in the order book afterwards.
func TestOrderFlood(t *testing.T) {
	b := orderBook{flood: logBudget{most: ordersAtOnce, per: time.Second}}
	now := time.Unix(1_700_000_000, 0)
	b.reconcile(nil, now, now)
	row := func(n int) []byte {
		return fmt.Appendf(nil, `{"order_id":"%d","status":"OPEN","quantity":1,"tag":"%0100d"}`, n, n)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	passed := 0
	for n := range 100_000 { // in a second and a half of floods, then two minutes of it
		at := now.Add(time.Duration(n) * 15 * time.Microsecond)
		if n >= 50_000 {
			at = now.Add(time.Duration(n-50_000)*2*time.Millisecond + time.Second)
		}
		if news, _ := b.update(strconv.Itoa(n), row(n), at); news {
			passed++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 10
	if len(b.known) > ordersKept || len(b.ids) != len(b.known) || grown > 16<<10 {
		t.Errorf("%d orders known, %d ids, %d KB", len(b.known), len(b.ids), grown)
	}
	if passed > 50_000+3*ordersAtOnce || passed < 50_000 {
		t.Errorf("%d updates passed on", passed)
	}
	last := 49_999 // it was left out
	order := kite.Order{Raw: row(last)}
	order.OrderID = strconv.Itoa(last)
	missed := b.reconcile([]kite.Order{order}, now.Add(3*time.Minute), now.Add(3*time.Minute))
	if len(missed) != 1 {
		t.Errorf("%d updates from the order book, want 1", len(missed))
	}
	t.Logf("100000 orders: %d passed on, %d known, %d KB more", passed, len(b.known), grown)
	runtime.KeepAlive(&b)
}

// Lines about what comes from outside are bounded, and the others are counted.
func TestLogBudget(t *testing.T) {
	b := logBudget{most: 5, per: time.Minute}
	now, lines := time.Unix(1_700_000_000, 0), 0
	for range 1000 {
		if ok, _ := b.take(now); ok {
			lines++
		}
	}
	if ok, held := b.take(now.Add(time.Minute)); lines != 5 || !ok || held != 995 {
		t.Errorf("%d lines, then %v with %d held", lines, ok, held)
	}
}
