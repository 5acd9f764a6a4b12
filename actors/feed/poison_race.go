//go:build race

package feed

// poison overwrites released batches: a subscriber that keeps one without
// Retain is seen at once.
const poison = true
