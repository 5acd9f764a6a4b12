package supervisor

// ring is a queue in an array whose length is a power of two. Positions only
// grow.
type ring[T any] struct {
	slots      []T
	head, tail uint64
}

func (r *ring[T]) len() int { return int(r.tail - r.head) }

func (r *ring[T]) at(position uint64) *T { return &r.slots[position&uint64(len(r.slots)-1)] }

func (r *ring[T]) push(v T) {
	if r.len() == len(r.slots) {
		grown := ring[T]{slots: make([]T, max(16, 2*len(r.slots)))}
		for i := r.head; i != r.tail; i++ {
			*grown.at(i) = *r.at(i)
		}
		r.slots = grown.slots
	}
	*r.at(r.tail) = v
	r.tail++
}

// pop takes the oldest; there is one.
func (r *ring[T]) pop() T {
	var none T
	oldest := r.at(r.head)
	v := *oldest
	*oldest = none
	r.head++
	return v
}
