package tree

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"kitestring/actors"
	"kitestring/actors/record"
	"kitestring/actors/replay"
	"kitestring/actors/tape"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor"
	"kitestring/supervisor/tree/flight"
)

// RecordConfig is what the configuration file says of the recorder. The zero
// value records.
type RecordConfig struct {
	Off       bool
	Orders    bool // order texts too
	Days      int  // that are kept; 0: 7
	Gigabytes int  // that are kept; 0: the least of 20 and a fifth of the disk
}

// openRecorder makes what outlives the recorder.
func (s *Server) openRecorder() {
	var boot [4]byte
	_, _ = rand.Read(boot[:]) // it never fails
	s.boot = hex.EncodeToString(boot[:])
	s.recorder = record.NewStore(s.clock)
	s.metrics.record = record.NewMetrics(s.registry, s.recorder)
}

// recordSpec is the recorder. A replay is recorded already, unless that is asked
// for.
func (s *Server) recordSpec() supervisor.Spec {
	return supervisor.Spec{Name: record.Name, Produce: s.reloaded(func(c Reloadable) actors.Producer {
		return record.New(record.Config{
			Store: s.recorder, Dir: tape.Folder(s.cfg.StateDir, s.profile), Off: c.Record.Off || s.cfg.Sim.Tape != nil && !s.cfg.Sim.RecordTape, Orders: c.Record.Orders,
			Keep: tape.Retention{Days: c.Record.Days, Bytes: int64(c.Record.Gigabytes) * 1_000_000_000},
			Boot: s.boot, Version: s.cfg.Version, Profile: s.profile, Disk: s.cfg.RecordDisk, Metrics: s.metrics.record,
			History: s.replayedHistory(),
			Note:    func(text string) { s.webStore.Note("record", "%s", text) },
		})
	})}
}

// replayedHistory is the history of the day that is replayed, when the replay is
// recorded; nil: it is not.
func (s *Server) replayedHistory() []messages.HistoryAnswered {
	if s.cfg.Sim.Tape == nil || !s.cfg.Sim.RecordTape {
		return nil
	}
	list := []messages.HistoryAnswered{}
	for _, token := range slices.Sorted(maps.Keys(s.cfg.Sim.Tape.History)) {
		minutes := s.cfg.Sim.Tape.History[token]
		last := minutes[len(minutes)-1].Start()
		list = append(list, messages.HistoryAnswered{InstrumentToken: token, From: minutes[0].Start(), Asked: last.Add(replay.Complete), Minutes: minutes})
	}
	return list
}

// recorderStatus is what the recorder does, for the API.
func (s *Server) recorderStatus() api.StatusRecord {
	st := s.recorder.Status()
	shown := api.StatusRecord{
		State: st.State.String(), Reason: st.Reason, Directory: st.Dir, Frames: st.Written.Frames, Ticks: st.Written.Ticks,
		Written: st.Written.Bytes, Dropped: st.Dropped, Queue: st.Queue, Segments: st.Segments, Bytes: st.Bytes,
		Segment: baseName(st.Segment), DiskFree: st.DiskFree, KeepDays: st.Keep.Days, KeepBytes: st.Keep.Bytes,
	}
	for _, t := range []struct {
		at   time.Time
		into **time.Time
	}{{st.Since, &shown.Since}, {st.LastWrite, &shown.LastWrite}, {st.Oldest, &shown.Oldest}} {
		if !t.at.IsZero() {
			at := t.at.UTC()
			*t.into = &at
		}
	}
	return shown
}

// baseName is a path without its folders; "" stays as it is.
func baseName(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Base(path)
}

// recordedNow names the files that hold what came in the last seconds.
func (s *Server) recordedNow() []string {
	now := s.clock.Now()
	return s.recorder.Around(now.Add(-flight.Age), now)
}
