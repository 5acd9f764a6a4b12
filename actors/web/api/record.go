package api

import "time"

// StatusRecord is the recorder in GET /api/v1/status: what Kite sent, on disk.
type StatusRecord struct {
	State     string     `json:"state"` // starting, recording, paused_disk, elsewhere, off, stopped
	Reason    string     `json:"reason,omitempty"`
	Since     *time.Time `json:"since"`     // null: since the start
	Directory string     `json:"directory"` // empty: nothing is recorded
	Frames    int64      `json:"frames"`    // on disk since the server's start, as are the next two
	Ticks     int64      `json:"ticks"`
	Written   int64      `json:"written_bytes"`
	Dropped   uint64     `json:"dropped"`       // frames that are not on disk, since the server's start
	Queue     int64      `json:"queue_bytes"`   // that wait in memory
	LastWrite *time.Time `json:"last_write_at"` // null: none yet
	Segment   string     `json:"segment"`       // the file that is written to; empty: none
	Segments  int        `json:"segments"`      // files of all days, as are the next two
	Bytes     int64      `json:"bytes"`
	Oldest    *time.Time `json:"oldest"` // when the oldest file began; null: there is none
	DiskFree  int64      `json:"disk_free_bytes"`
	KeepDays  int        `json:"keep_days"`
	KeepBytes int64      `json:"keep_bytes"`
}
