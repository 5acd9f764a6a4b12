package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// mostCached bounds the answers that are kept, in bytes of their bodies.
const mostCached = 64 << 20

// cache keeps answers for clients that ask the same. Its time is the monotonic
// clock's.
type cache struct {
	mu    sync.Mutex
	kept  map[string]kept
	bytes int
}

type kept struct {
	kite.Answer
	generation messages.Generation
	until      time.Time
}

func (c *cache) get(target string) (kept, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[target]
	return k, ok && time.Now().Before(k.until)
}

func (c *cache) put(target string, a kite.Answer, g messages.Generation, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]kept{}
	}
	c.remove(target)
	now := time.Now()
	if c.bytes+len(a.Body) > mostCached {
		for t, k := range c.kept {
			if !now.Before(k.until) {
				c.remove(t)
			}
		}
	}
	for t := range c.kept { // any: what is asked again is kept again
		if c.bytes+len(a.Body) <= mostCached {
			break
		}
		c.remove(t)
	}
	if len(a.Body) > mostCached {
		return
	}
	c.kept[target] = kept{a, g, now.Add(d)}
	c.bytes += len(a.Body)
}

func (c *cache) remove(target string) {
	c.bytes -= len(c.kept[target].Body)
	delete(c.kept, target)
}

// goodFor is how long an answer may be kept for what it holds: not at all unless
// it is whole, and for moments when the history in it is empty, which may be
// there a little later.
func goodFor(a kite.Answer) time.Duration {
	const day, moments = 24 * time.Hour, 5 * time.Second
	body := plainBody(a)
	if a.Status != http.StatusOK || len(body) == 0 {
		return 0
	}
	if strings.HasPrefix(a.ContentType, "text/csv") {
		head, rows, _ := bytes.Cut(body, []byte("\n"))
		rows = bytes.TrimSpace(rows)
		last := rows[bytes.LastIndexByte(rows, '\n')+1:]
		if !bytes.Contains(head, []byte("tradingsymbol")) || bytes.Count(last, []byte(",")) < bytes.Count(head, []byte(",")) {
			return 0 // another file, an empty one, or one that was cut off
		}
		return day
	}
	var envelope struct {
		Status string `json:"status"`
		Data   struct {
			Candles *[]json.RawMessage `json:"candles"`
		} `json:"data"`
	}
	err := json.Unmarshal(body, &envelope)
	var other *json.UnmarshalTypeError // data of another shape
	switch {
	case err != nil && !errors.As(err, &other), envelope.Status != "success":
		return 0
	case envelope.Data.Candles != nil && len(*envelope.Data.Candles) == 0:
		return moments
	}
	return day
}

// instrumentsHour is when a day's instruments file is complete (about 08:30
// IST): an earlier one is asked for again a little later.
const instrumentsHour, instrumentsMinute = 8, 45

// untilTomorrow keeps the instruments file for its day.
func untilTomorrow(_ *http.Request, now time.Time) time.Duration {
	made := ist.At(now, instrumentsHour, instrumentsMinute, 0)
	if now.Before(made) {
		return min(5*time.Minute, made.Sub(now))
	}
	return ist.Day(now).AddDate(0, 0, 1).Sub(now)
}

// history keeps what ended before today for the day, and today's for 5 s.
func history(r *http.Request, now time.Time) time.Duration {
	today := ist.Day(now)
	for _, layout := range []string{ist.Layout, time.DateOnly} {
		if to, err := time.ParseInLocation(layout, r.URL.Query().Get("to"), ist.Zone); err == nil && to.Before(today) {
			return today.AddDate(0, 0, 1).Sub(now)
		}
	}
	return 5 * time.Second
}
