package api

import "time"

// Alerts is GET /api/v1/alerts: what the configuration asks to be sent, and
// what came of it.
type Alerts struct {
	Alerts     []Alert         `json:"alerts"`     // in the configuration's order
	Channels   []string        `json:"channels"`   // that are set up in the .env file: ntfy, telegram, webhook
	Waiting    int             `json:"waiting"`    // number of messages that have not arrived yet
	Deliveries []AlertDelivery `json:"deliveries"` // the last 50 that arrived or were given up, newest first
}

// Alert is one alert of the configuration.
type Alert struct {
	Name            string       `json:"name"`             // as the configuration has it
	Underlying      string       `json:"underlying"`       // "": each
	Kind            string       `json:"kind"`             // of the reading
	Condition       string       `json:"condition"`        // in words
	MinConfidence   float64      `json:"min_confidence"`   // confidence that a reading must have, 0-100
	MinCoverage     float64      `json:"min_coverage"`     // share of its inputs that a reading must have, 0-1
	SessionOnly     bool         `json:"session_only"`     // whether it is silent while no session runs
	DoubtfulInput   bool         `json:"doubtful_input"`   // on input that is gapped, old or of another session, too
	CooldownSeconds float64      `json:"cooldown_seconds"` // seconds for which it is silent after it was sent
	Channels        []string     `json:"channels"`         // that it goes to, of those that are set up
	Watches         []AlertWatch `json:"watches"`          // by underlying; empty until there was something to look at
}

// AlertWatch is an alert at one underlying.
type AlertWatch struct {
	Underlying  string     `json:"underlying"`
	Holds       bool       `json:"holds"`            // the condition, at the last look
	LastFiredAt *time.Time `json:"last_fired_at"`    // exchange time; null: not since the start
	Reason      string     `json:"reason,omitempty"` // why nothing can be said of the condition now
}

// AlertDelivery is a message that has arrived or was given up.
type AlertDelivery struct {
	ID      uint64    `json:"id"`               // number of the message
	Alert   string    `json:"alert"`            // "": a test of none
	Channel string    `json:"channel"`          // ntfy, telegram, webhook
	Arrived bool      `json:"arrived"`          // whether the channel took it; else it was given up
	Reason  string    `json:"reason,omitempty"` // why not
	At      time.Time `json:"at"`               // when that was, by the server's clock
}

// AlertTest is the body of POST /api/v1/alerts/test.
type AlertTest struct {
	Name string `json:"name"` // of an alert, whose channels get the message; "": each channel does
}

// AlertTested is its answer; the deliveries of GET /api/v1/alerts say what came of it.
type AlertTested struct {
	ID       uint64   `json:"id"`       // number of the message, in its deliveries
	Channels []string `json:"channels"` // that it goes to; empty: the stream and the timeline only
}
