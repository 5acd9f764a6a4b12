//go:build race

package face

const raced = true
