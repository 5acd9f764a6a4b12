package supervisor

import "sync/atomic"

// Inlet is where batches for one child are pushed. It may be captured before
// the tree has started and serves every incarnation.
type Inlet struct {
	name string
	box  atomic.Pointer[box] // nil before the start
}

// Push hands over a batch and never blocks; true means that the child falls
// behind and the caller may yield the processor once. The batch is retained as
// long as it is needed. Before the tree has started batches are dropped.
func (f *Inlet) Push(b Batch) (yield bool) {
	if box := f.box.Load(); box != nil {
		return box.push(b)
	}
	return false
}
