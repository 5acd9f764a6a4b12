package csv

import (
	"strings"
	"testing"
	"time"

	"kitestring/messages"
)

func TestWrite(t *testing.T) {
	type inner struct {
		Depth int `json:"depth"`
	}
	type row struct {
		At      time.Time        `json:"at"`
		Price   float64          `json:"price"`
		Bid     *float64         `json:"bid"`
		Name    string           `json:"name"`
		State   messages.Mode    `json:"mode"`
		Mailbox inner            `json:"mailbox"`
		Names   []string         `json:"names"`
		Extra   map[string]int   `json:"extra"`
		Hidden  int              `json:"-"`
		Open    bool             `json:"open,omitempty"`
		Next    *time.Time       `json:"next"`
		Source  messages.Verdict `json:"source"`
	}
	bid, at := 99.95, time.Date(2026, 11, 23, 9, 15, 0, 0, time.UTC)
	var b strings.Builder
	if err := Write(&b, []row{
		{At: at, Price: 25000.1 + 0.2, Bid: &bid, Name: `M&M, "x"`, State: messages.ModeFull, Mailbox: inner{3}, Open: true, Next: &at, Source: messages.VerdictValid},
		{Price: 1e7},
	}); err != nil {
		t.Fatal(err)
	}
	want := "at,price,bid,name,mode,mailbox.depth,open,next,source\n" +
		`2026-11-23T09:15:00Z,25000.3,99.95,"M&M, ""x""",full,3,true,2026-11-23T09:15:00Z,valid` + "\n" +
		"0001-01-01T00:00:00Z,10000000,,,none,0,false,,\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	if err := Write(&b, []row{}); err != nil || !strings.HasPrefix(b.String(), "at,price,") || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("an empty list: %q, %v", b.String(), err)
	}
}
