package web

import (
	"net/http"

	"kitestring/actors/web/api"
)

// Replay is a recorded day that runs in the exchange's place.
type Replay interface {
	Status() api.StatusReplay
	// SetSpeed changes how fast it runs; its error says what is allowed.
	SetSpeed(s api.ReplaySpeed) error
}

// statusReplay is nil while nothing is replayed.
func (s *server) statusReplay() *api.StatusReplay {
	if s.Replay == nil {
		return nil
	}
	status := s.Replay.Status()
	return &status
}

// replaySpeed changes the speed of the replay.
func (s *server) replaySpeed(w http.ResponseWriter, r *http.Request) {
	if s.Replay == nil {
		writeProblem(w, http.StatusConflict, "no replay", "This server does not replay a recorded day. Start one with \"kitestring run --replay DAY\".", nil)
		return
	}
	var in api.ReplaySpeed
	if !decodeBody(w, r, &in) {
		return
	}
	if err := s.Replay.SetSpeed(in); err != nil {
		writeProblem(w, http.StatusUnprocessableEntity, "no such speed", err.Error(), nil)
		return
	}
	writeJSON(w, http.StatusOK, s.Replay.Status())
}
