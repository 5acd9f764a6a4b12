// Package ready answers one question before a trading day: can it begin?
//
// It promises a line for each thing that the day needs, with its state, since
// when, and one fix; the first cause is named, and what only waits for it says
// so instead of asking for something itself. [Judge] is a pure function over a
// [Snapshot]; the actor takes a snapshot each 250 ms, in a task: a disk
// that does not answer is a line, not a hang.
//
// Limits: it looks and asks nobody. What Kite, a disk or a channel would say if
// it were asked shows when something has asked it.
package ready
