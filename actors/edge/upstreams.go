package edge

import (
	"io"
	"net/http"
	"sync"

	"kitestring/actors"
	"kitestring/messages"
)

// generation is the edge's only one: the keys of its upstreams do not change
// when a token does.
const generation = 1

// Keys is the edge's source of tokens: the key that the first upstream knows
// it by.
type Keys struct{ First Upstream }

// Current implements actors.TokenSource.
func (k Keys) Current() actors.TokenView {
	return actors.TokenView{Adopted: messages.Session{Generation: generation, APIKey: Name, Token: messages.AccessToken{Secret: k.First.Key}}}
}

// Used implements actors.TokenSource.
func (k Keys) Used(string, messages.Generation) {}

// REST asks the first upstream, and for a read that it does not answer the
// second one with the key that the edge has there. A write is sent once.
type REST struct {
	Upstreams []Upstream
	Base      http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (r REST) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.Base.RoundTrip(req)
	failed := err != nil || resp.StatusCode >= http.StatusInternalServerError
	if !failed || len(r.Upstreams) < 2 || req.Method != http.MethodGet || req.Context().Err() != nil {
		return resp, err
	}
	second := req.Clone(req.Context())
	second.URL.Host, second.Host = r.Upstreams[1].Addr, ""
	second.Header.Set("Authorization", "token "+Name+":"+r.Upstreams[1].Key.Reveal())
	other, secondErr := r.Base.RoundTrip(second)
	if secondErr != nil {
		return resp, err
	}
	if resp != nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
	}
	return other, nil
}

// Board shows which upstreams are connected. It outlives the actor. Safe for
// concurrent use.
type Board struct {
	mu   sync.Mutex
	live map[int]bool
}

func (b *Board) connected(at int, live bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.live == nil {
		b.live = map[int]bool{}
	}
	b.live[at] = live
}

// Connected counts the upstreams that are connected.
func (b *Board) Connected() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, live := range b.live {
		if live {
			n++
		}
	}
	return n
}
