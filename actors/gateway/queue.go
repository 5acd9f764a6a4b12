package gateway

import (
	"context"
	"sync"

	"kitestring/actors/kite"
)

// fairQueue lets one request of a class at a time wait for Kite's budget, and
// takes the clients in turn: fifty programs never stand before auth's own
// check, and a program with a hundred questions stands before nobody's first.
type fairQueue struct {
	mu      sync.Mutex
	classes map[kite.Class]*turns
}

// turns is one class: who is served, and who waits.
type turns struct {
	busy    bool
	order   []string                 // clients that wait, the next one first
	waiting map[string][]chan<- bool // their requests, oldest first
}

// enter waits for the client's turn; done ends it. It fails when ctx ends.
func (q *fairQueue) enter(ctx context.Context, class kite.Class, client string) (done func(), err error) {
	q.mu.Lock()
	t := q.classes[class]
	if t == nil {
		if q.classes == nil {
			q.classes = map[kite.Class]*turns{}
		}
		t = &turns{waiting: map[string][]chan<- bool{}}
		q.classes[class] = t
	}
	if !t.busy {
		t.busy = true
		q.mu.Unlock()
		return func() { q.next(t) }, nil
	}
	turn := make(chan bool, 1)
	if len(t.waiting[client]) == 0 {
		t.order = append(t.order, client)
	}
	t.waiting[client] = append(t.waiting[client], turn)
	q.mu.Unlock()
	select {
	case <-turn:
		return func() { q.next(t) }, nil
	case <-ctx.Done():
		if !q.forget(t, client, turn) { // the turn came at the same moment
			q.next(t)
		}
		return nil, ctx.Err()
	}
}

// next gives the turn on.
func (q *fairQueue) next(t *turns) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(t.order) == 0 {
		t.busy = false
		return
	}
	client := t.order[0]
	t.order = t.order[1:]
	first := t.waiting[client][0]
	if rest := t.waiting[client][1:]; len(rest) > 0 {
		t.waiting[client] = rest
		t.order = append(t.order, client)
	} else {
		delete(t.waiting, client)
	}
	first <- true
}

// forget takes a request out that gave up; false: it is not there any more.
func (q *fairQueue) forget(t *turns, client string, turn chan<- bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range t.waiting[client] {
		if w != turn {
			continue
		}
		t.waiting[client] = append(t.waiting[client][:i:i], t.waiting[client][i+1:]...)
		if len(t.waiting[client]) == 0 {
			delete(t.waiting, client)
			for j, name := range t.order {
				if name == client {
					t.order = append(t.order[:j:j], t.order[j+1:]...)
					break
				}
			}
		}
		return true
	}
	return false
}
