//go:build race

package main

// raceEnabled: the race detector makes everything several times slower; figures are
// logged, not judged.
const raceEnabled = true
