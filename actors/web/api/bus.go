package api

import "time"

// StatusBus is the bus in GET /api/v1/status: what is published to other machines
// over NATS.
type StatusBus struct {
	State     string            `json:"state"` // connecting, publishing, standby, stopped
	Reason    string            `json:"reason,omitempty"`
	Since     time.Time         `json:"since"`         // when this state began
	Bus       string            `json:"bus"`           // embedded, or its URL
	Addr      string            `json:"addr"`          // where the embedded server listens; empty: there is none
	Server    string            `json:"server"`        // the name of this server on the bus
	Epoch     int64             `json:"epoch"`         // when this server began to publish, in Unix milliseconds; 0: it did not
	Shared    bool              `json:"shared"`        // a lease says which of two servers publishes
	Published map[string]uint64 `json:"published"`     // number of messages on the bus since the start, by what they carry
	Bytes     uint64            `json:"bytes"`         // size of these in bytes
	Lost      map[string]uint64 `json:"lost"`          // number of messages that are not on the bus, by the reason: queue_full, down, lease, refused
	Queue     int64             `json:"queue_ticks"`   // number of ticks that wait
	Connects  uint64            `json:"connects"`      // number of times that it connected since the start
	Consumers int               `json:"consumers"`     // number of programs connected to the embedded server
	Cut       int64             `json:"cut_consumers"` // number of programs that the embedded server cut off because they took too little
}
