package api

import "time"

// StatusRecord is the recorder in GET /api/v1/status: what Kite sent, on disk.
type StatusRecord struct {
	State     string     `json:"state"`            // starting, recording, paused_disk, elsewhere, off, stopped
	Reason    string     `json:"reason,omitempty"` // why it does not record; "": it does
	Since     *time.Time `json:"since"`            // null: since the start
	Directory string     `json:"directory"`        // empty: nothing is recorded
	Frames    int64      `json:"frames"`           // number of frames on disk since the server's start, as are the next two
	Ticks     int64      `json:"ticks"`            // number of ticks within those frames
	Written   int64      `json:"written_bytes"`    // bytes that they take on disk
	Dropped   uint64     `json:"dropped"`          // number of frames that are not on disk, since the server's start
	Queue     int64      `json:"queue_bytes"`      // that wait in memory
	LastWrite *time.Time `json:"last_write_at"`    // null: none yet
	Segment   string     `json:"segment"`          // the file that is written to; empty: none
	Segments  int        `json:"segments"`         // number of files of all days
	Bytes     int64      `json:"bytes"`            // size of the files of all days, in bytes
	Oldest    *time.Time `json:"oldest"`           // when the oldest file began; null: there is none
	DiskFree  int64      `json:"disk_free_bytes"`  // bytes that are left on the disk
	KeepDays  int        `json:"keep_days"`        // number of days that are kept at most; 0: no limit
	KeepBytes int64      `json:"keep_bytes"`       // size at which the oldest day is deleted, in bytes; 0: no limit
}
