// Package remoteclock reads the time of a simulated exchange in another process.
package remoteclock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"kitestring/actors/simulator"
	"kitestring/supervisor/tree/profile"
)

// Clock is the time of a simulated exchange in another process, read at
// /sim/v1/state, once, and at /sim/v1/clock, which costs it less. Between two
// readings, and while there is no answer, it runs on at the speed last read.
type Clock struct {
	url    string
	client *http.Client
	end    context.CancelFunc
	ended  chan struct{}

	sequenced bool // it counts ticks in the last quantity, and sends each of them

	mu    sync.Mutex
	here  time.Time // the anchor: both stood so at the same moment
	there time.Time
	speed float64
}

// How often the remote clock is read, and how much it may be off, in real
// time, before it is set: a reading takes a while itself.
const (
	period = 500 * time.Millisecond
	slack  = 50 * time.Millisecond
	// The first answer is needed, and its exchange may only just have started.
	firstAnswer = 10 * time.Second
	nextAnswer  = 2 * time.Second
)

// Open looks for a simulator at an API address.
func Open(ctx context.Context, apiURL string) (*Clock, error) {
	c := &Clock{
		url:    apiURL + "/sim/v1",
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		ended:  make(chan struct{}),
	}
	var st simulator.State
	here, err := c.ask(ctx, firstAnswer, "/state", &st)
	if err != nil {
		return nil, fmt.Errorf("no simulator answers at %s=%s: %w. Start it with \"kitestring sim\", or take the key out of the file", profile.KeyAPIURL, apiURL, err)
	}
	c.sequenced = st.Sequence && st.Market.Sampling != simulator.SamplingIndependent
	c.set(here, st.Clock)
	running, end := context.WithCancel(context.Background())
	c.end = end
	go c.follow(running)
	return c, nil
}

// Now implements actors.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(time.Now())
}

// Counts reports whether a hole in the numbers that the exchange writes into the
// last quantity is a loss.
func (c *Clock) Counts() bool { return c.sequenced }

func (c *Clock) at(here time.Time) time.Time {
	return c.there.Add(time.Duration(float64(here.Sub(c.here)) * c.speed))
}

func (c *Clock) follow(ctx context.Context) {
	defer close(c.ended)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			var clock simulator.ClockState
			if here, err := c.ask(ctx, nextAnswer, "/clock", &clock); err == nil { // its users report that the exchange is away
				c.set(here, clock)
			}
		}
	}
}

// ask reads a part of the simulator's state; here is when it held.
func (c *Clock) ask(ctx context.Context, patience time.Duration, path string, into any) (here time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return here, err
	}
	asked := time.Now()
	resp, err := c.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return here, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return here, errors.New(resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return here, fmt.Errorf("read its state: %w", err)
	}
	return asked.Add(time.Since(asked) / 2), nil
}

// set moves the anchor when the remote clock has been set.
func (c *Clock) set(here time.Time, clock simulator.ClockState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	off := clock.Now.Sub(c.at(here)).Abs()
	if c.speed == clock.Speed && off <= time.Duration(float64(slack)*c.speed) {
		return
	}
	c.here, c.there, c.speed = here, clock.Now, clock.Speed
}

// Close ends the reading.
func (c *Clock) Close() {
	c.end()
	<-c.ended
	c.client.CloseIdleConnections()
}
