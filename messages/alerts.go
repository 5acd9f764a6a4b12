package messages

import "time"

// AlertState is what became of an alert's condition.
type AlertState string

// The states of an alert's condition.
const (
	AlertFired  AlertState = "fired"  // it has begun
	AlertHealed AlertState = "healed" // it is over: it may fire again
	AlertTested AlertState = "tested" // a person asked for a message
)

// AlertChanged says that the condition of a configured alert has begun or is
// over. Sent by alerts; received by web.
type AlertChanged struct {
	Alert      string     `json:"alert"` // its name in the configuration
	Underlying string     `json:"underlying"`
	State      AlertState `json:"state"` // fired, healed, tested
	Text       string     `json:"text"`  // one sentence, as the channels send it
	Price      *float64   `json:"price"` // of the index, in rupees; null: not known
	Level      *float64   `json:"level"` // in the unit of what is watched: that was crossed or touched; for prices rupees; null: the condition is a signal
	At         time.Time  `json:"at"`    // exchange time
}

// TestAlert asks for the message of an alert now, "" for a message of none.
// Sent by web; received by alerts.
type TestAlert struct {
	Name string
	ID   uint64 // of its deliveries in the store
}
