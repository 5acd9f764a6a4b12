// Package wire is the house's language on Kite's WebSocket: binary packets and
// JSON commands, in both directions.
package wire
