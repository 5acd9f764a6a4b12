package web_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"kitestring/actors/web"
)

// TestRecordedSpan: a span comes as records of time, shard and message; a span
// that cannot be is refused, and one at a time is read.
func TestRecordedSpan(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	block := false
	var failure error
	_, _, addr := open(t, &fakes{}, func(c *web.Config) {
		c.Recorded = func(from, to time.Time, shard int, each func(time.Time, int, []byte) error) error {
			if block {
				close(inside)
				<-leave
			}
			if err := each(from, max(shard, 0), []byte("first")); err != nil {
				return err
			}
			if failure != nil {
				return failure
			}
			return each(to, 2, []byte("second"))
		}
	})
	url := "http://" + addr + "/api/v1/recorded"
	ok := url + "?from=1000000000&to=2000000000"
	_, body := request(t, "GET", ok, "")
	want := "\x00\x00\x00\x00\x3b\x9a\xca\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x05" + "first" +
		"\x00\x00\x00\x00\x77\x35\x94\x00" + "\x00\x00\x00\x02" + "\x00\x00\x00\x06" + "second"
	if body != want {
		t.Errorf("%q, want %q", body, want)
	}
	for query, says := range map[string]string{
		"": "from and to", "?from=2000000000&to=1000000000": "from is the earlier one", "?from=0&to=600000000001": "10m0s at most",
		"?from=yesterday&to=2000000000": "a time like", "?from=1&to=2&shard=3": "shard",
	} {
		resp, body := request(t, "GET", url+query, "")
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, says) {
			t.Errorf("%q: %d %s", query, resp.StatusCode, body)
		}
	}
	block = true
	first := make(chan struct{})
	go func() {
		defer close(first)
		if resp, err := http.Get(ok); err == nil { //nolint:noctx // the test waits for it
			_ = resp.Body.Close()
		}
	}()
	<-inside
	if resp, body := request(t, "GET", ok, ""); resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, "Ask again") {
		t.Errorf("a second reader: %d %s", resp.StatusCode, body)
	}
	close(leave)
	<-first
	block, failure = false, errors.New("the disk is gone")
	req, _ := http.NewRequestWithContext(t.Context(), "GET", ok, nil)
	if resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("an answer that breaks off looks whole")
	}
}
