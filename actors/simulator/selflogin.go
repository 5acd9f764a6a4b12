package simulator

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// SelfLogin is the simulated account's owner: once at the start, when the
// product's file holds no token that the exchange accepts, and once after each
// flush at 06:00, he visits the product's login page, as a person's browser
// would. He never does it because a token was refused: that is what the
// product is there to notice. Made once; it outlives the actor.
type SelfLogin struct {
	URL   string                      // of the product's /login
	Token func() messages.AccessToken // the newest in the product's file

	flush time.Time // the last flush that was answered; zero: the start was not
}

// watch logs in whenever it is due, until ctx ends.
func (s *SelfLogin) watch(ctx context.Context, e *Exchange) error {
	const look = 50 * time.Millisecond
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if flush := lastFlush(e.clock.Now()); flush.After(s.flush) {
			if e.Valid(s.Token()) {
				s.flush = flush
			} else if err := s.visit(ctx, client); err == nil {
				e.log.Info("simulator logged in to itself")
				s.flush = flush
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C: // the product may not listen yet
		}
	}
}

// visit is a whole login: the product redirects to our page, ours back.
func (s *SelfLogin) visit(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return fmt.Errorf("visit the login page: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("visit the login page: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("visit the login page: %s", resp.Status)
	}
	return nil
}

// withoutURL drops the address, which holds a request token.
func withoutURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// lastFlush is the latest 06:00 IST.
func lastFlush(now time.Time) time.Time {
	flush := ist.At(now, 6, 0, 0)
	if flush.After(now) {
		flush = flush.AddDate(0, 0, -1)
	}
	return flush
}
