package api

import "time"

// Trace is the answer of POST /api/v1/debug/trace.
type Trace struct {
	File string `json:"file"` // its name, in the folder traces of the state directory; for "go tool trace"
}

// Reminders is GET /api/v1/reminders: who is told that a login is due.
type Reminders struct {
	Channels []string         `json:"channels"` // ntfy, telegram, webhook; empty: nobody is told
	Warnings []string         `json:"warnings"` // what is wrong with their keys in the .env file
	Last     []ReminderResult `json:"last"`     // of the newest time of day that was told
}

// ReminderResult is a reminder that has arrived or was given up.
type ReminderResult struct {
	Channel string    `json:"channel"`
	Slot    time.Time `json:"slot"` // the exchange's time
	Arrived bool      `json:"arrived"`
	Reason  string    `json:"reason,omitempty"` // why not
}
