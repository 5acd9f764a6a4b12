package feed

import (
	"encoding/json"
	"fmt"
	"slices"
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
	var b orderBook
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
