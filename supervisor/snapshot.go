package supervisor

import "time"

// State is the state of a child. The zero value is Stopped.
type State uint8

// The states of a child.
const (
	Stopped     State = iota // not started yet, ended for good, or stopped
	Starting                 // born, Started not yet handled
	Running                  // ready
	BackingOff               // failed, waiting for its restart
	Hung                     // in one handler for more than half its Hang
	Quarantined              // failed too often; waiting for a retry at the backoff's cap
)

// Snapshot is the whole tree at one moment, parents before children, in order
// of start.
type Snapshot struct {
	At     time.Time `json:"at"`
	Actors []Status  `json:"actors"`
}

// Status is one child of a snapshot.
type Status struct {
	Name             string     `json:"name"`
	Kind             string     `json:"kind"`   // worker or supervisor
	Parent           string     `json:"parent"` // "" for the root
	Strategy         string     `json:"strategy,omitempty"`
	State            State      `json:"state"`
	Quarantined      bool       `json:"quarantined"` // also while a retry runs that is not yet healthy
	Epoch            uint64     `json:"epoch"`
	Generation       uint64     `json:"generation"`
	UptimeSeconds    float64    `json:"uptime_seconds"`
	Restarts         uint64     `json:"restarts"`
	RestartsInWindow int        `json:"restarts_in_window"`
	Mailbox          Depths     `json:"mailbox"`
	MessagesPerSec   float64    `json:"messages_per_second"`
	HandlingP50      float64    `json:"handling_p50_seconds"`
	HandlingP99      float64    `json:"handling_p99_seconds"`
	WaitingP99       float64    `json:"waiting_p99_seconds"`
	Tasks            int        `json:"tasks"`
	Zombies          int        `json:"zombies"` // abandoned incarnations that have not returned
	LastError        string     `json:"last_error"`
	NextRetryAt      *time.Time `json:"next_retry_at"` // null: none planned
}

// Depths is the mailbox of a child.
type Depths struct {
	Depth     int    `json:"depth"`     // ticks and control messages that wait
	Capacity  int    `json:"capacity"`  // ticks and control messages at most
	Conflated uint64 `json:"conflated"` // ticks merged since the process began
	Dropped   uint64 `json:"dropped"`   // ticks and control messages lost since then
}

// Health is the tree in one line.
type Health struct {
	OK          bool     `json:"ok"` // everything that should run runs, nothing is quarantined
	Running     int      `json:"running"`
	Total       int      `json:"total"`
	Quarantined int      `json:"quarantined"`
	Reasons     []string `json:"reasons,omitempty"` // plain words, one a child that is not well
}

// Snapshot is the tree as data. Cheap; call it as often as a page needs.
func (s *Supervisor) Snapshot() Snapshot { return Snapshot{} }

// Health sums the snapshot up.
func (s *Supervisor) Health() Health { return Health{} }
