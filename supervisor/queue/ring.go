// Package queue has the queues of a mailbox, as data without a lock: a ring that
// grows, and batches of ticks that are conflated when they come too fast.
package queue

// A Ring is a queue in an array whose length is a power of two. Positions only
// grow.
type Ring[T any] struct {
	slots      []T
	Head, Tail uint64
}

// Len is how many there are.
func (r *Ring[T]) Len() int { return int(r.Tail - r.Head) }

// At is what stands at a position from Head to Tail.
func (r *Ring[T]) At(position uint64) *T { return &r.slots[position&uint64(len(r.slots)-1)] }

// Push adds one.
func (r *Ring[T]) Push(v T) {
	if r.Len() == len(r.slots) {
		grown := Ring[T]{slots: make([]T, max(16, 2*len(r.slots)))}
		for i := r.Head; i != r.Tail; i++ {
			*grown.At(i) = *r.At(i)
		}
		r.slots = grown.slots
	}
	*r.At(r.Tail) = v
	r.Tail++
}

// Pop takes the oldest; there is one.
func (r *Ring[T]) Pop() T {
	var none T
	oldest := r.At(r.Head)
	v := *oldest
	*oldest = none
	r.Head++
	return v
}
