//go:build race

package actorstest

// Race reports whether the race detector is on: code runs about ten times
// slower, and allocations are not those of the product.
const Race = true
