package messages

import "time"

// HistoryAnswered is what Kite's history had of an instrument, as it came: it
// goes onto the tape, so that a replay of the day has the same bars; bars take it
// where a tape is read again.
// Sent by bars; received by record.
type HistoryAnswered struct {
	InstrumentToken uint32      `json:"instrument_token"`
	From            time.Time   `json:"from"`  // asked from here
	Asked           time.Time   `json:"asked"` // exchange time of the question: up to here
	Generation      Generation  `json:"generation"`
	Minutes         []OldMinute `json:"minutes"`
}

// OldMinute is a minute of history: its start in Unix seconds, open, high, low
// and close in rupees, volume and open interest.
type OldMinute [7]float64

// Start is when the minute begins.
func (m OldMinute) Start() time.Time { return time.Unix(int64(m[0]), 0).UTC() }
