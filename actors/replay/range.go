package replay

import (
	"errors"
	"fmt"
	"io"
	"time"

	"kitestring/actors/tape"
	"kitestring/messages/ist"
)

// warmUp is how much before a span is read as well, so that packets which repeat
// earlier ones are known.
const warmUp = 5 * time.Second

// Range calls each with what a directory has of a span of time, both ends
// included, in the order of receipt. What was received in the last 100 ms may
// not be on disk yet. A batch is valid during the call.
func Range(directory string, from, to time.Time, each func(Batch) error) error {
	days, err := tape.Open(directory).Days()
	if err != nil {
		return fmt.Errorf("the recording: %w", err)
	}
	var segments []tape.Segment
	first, last := dayOf(from.Add(-warmUp)), dayOf(to)
	for _, day := range days {
		if day.Day < first || day.Day > last {
			continue
		}
		for _, s := range day.Segments {
			x, err := s.Index()
			if err == nil && (!s.Open && x.Last.Before(from.Add(-warmUp)) || x.First.After(to)) {
				continue
			}
			segments = append(segments, s)
		}
	}
	s := Of(segments)
	defer s.Close()
	s.from = from.Add(-warmUp)
	for {
		b, err := s.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case b.At.After(to):
			return nil
		case b.At.Before(from) || len(b.Packets) == 0:
			continue
		}
		if err := each(b); err != nil {
			return err
		}
	}
}

func dayOf(t time.Time) string { return ist.Day(t).Format(time.DateOnly) }
