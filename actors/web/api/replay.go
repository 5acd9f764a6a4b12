package api

import "time"

// StatusReplay is a recorded day that runs in the exchange's place, in GET
// /api/v1/status.
type StatusReplay struct {
	Day     string    `json:"day"`     // spelled 2026-11-27
	At      time.Time `json:"at"`      // the recording's time now
	Speed   float64   `json:"speed"`   // recorded seconds a real second; 0: it stands, or max is true
	Max     bool      `json:"max"`     // as fast as it is read
	Waiting bool      `json:"waiting"` // until the instruments are subscribed to
	Ended   bool      `json:"ended"`   // time goes on, without ticks
	Ticks   int64     `json:"ticks"`   // number of ticks that were played
}

// ReplaySpeed is the body of POST /api/v1/replay.
type ReplaySpeed struct {
	Speed float64 `json:"speed"`         // recorded seconds in a real second; 0 lets it stand
	Max   bool    `json:"max,omitempty"` // as fast as it is read; speed does not count then
}
