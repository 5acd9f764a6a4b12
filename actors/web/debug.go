package web

import (
	"net/http"
	"net/http/pprof" // also registers on http.DefaultServeMux, which nobody serves

	"kitestring/actors/web/api"
)

// profiles are those of net/http/pprof: the list of them, and each by its name.
func (s *server) profiles(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("profile") {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}

// trace has the flight recorder's window written to disk.
func (s *server) trace(w http.ResponseWriter, _ *http.Request) {
	file, err := s.Trace()
	if err != nil {
		failed(w, err)
		return
	}
	s.Board.Note("actor", "a trace of the last seconds was written on request: %s", file)
	answer(w, http.StatusCreated, api.Trace{File: file})
}
