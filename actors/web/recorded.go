package web

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kitestring/messages/scrub"
)

// mostRecorded is how long a span of the recording may be that one request asks
// for, mostReading how many are read at once: each takes a processor.
const (
	mostRecorded = 10 * time.Minute
	mostReading  = 1
)

// recorded is GET /api/v1/recorded: for a consumer of the bus that has seen a hole.
func (s *server) recorded(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var from, to time.Time
	if !momentOf(w, q, "from", &from) || !momentOf(w, q, "to", &to) {
		return
	}
	if from.IsZero() || to.IsZero() || to.Before(from) || to.Sub(from) > mostRecorded {
		writeProblem(w, http.StatusBadRequest, "no such span", fmt.Sprintf("from and to bound a span of %s at most, and from is the earlier one.", mostRecorded), nil)
		return
	}
	shard, err := strconv.Atoi(cmp.Or(q.Get("shard"), "-1"))
	if err != nil || shard < -1 || shard > 2 {
		writeProblem(w, http.StatusBadRequest, "no such shard", "shard is 0, 1 or 2; without it there are all.", nil)
		return
	}
	select {
	case s.readers <- struct{}{}:
		defer func() { <-s.readers }()
	default:
		w.Header().Set("Retry-After", "1")
		writeProblem(w, http.StatusTooManyRequests, "the recording is being read", "Another program reads the recording now. Ask again in a second.", nil)
		return
	}
	out, begun := bufio.NewWriterSize(w, 64<<10), false
	err = s.Recorded(from, to, shard, func(at time.Time, shard int, frame []byte) error {
		if err := r.Context().Err(); err != nil {
			return err
		}
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		var head [16]byte
		binary.BigEndian.PutUint64(head[:], uint64(at.UnixNano()))
		binary.BigEndian.PutUint32(head[8:], uint32(shard))
		binary.BigEndian.PutUint32(head[12:], uint32(len(frame)))
		if _, err := out.Write(head[:]); err != nil {
			return err
		}
		_, err := out.Write(frame)
		return err
	})
	switch {
	case err != nil && !begun:
		writeProblem(w, http.StatusInternalServerError, "the recording cannot be read", scrub.Text(err.Error()), nil)
		return
	case err != nil:
		panic(http.ErrAbortHandler) // an answer that ends early must not look whole
	case !begun:
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	_ = out.Flush() // the client may have gone
}

// momentOf is timeOf that also takes Unix nanoseconds, as the bus has them in its
// headers.
func momentOf(w http.ResponseWriter, q url.Values, name string, into *time.Time) bool {
	if n, err := strconv.ParseInt(q.Get(name), 10, 64); err == nil {
		*into = time.Unix(0, n)
		return true
	}
	return timeOf(w, q, name, into)
}
