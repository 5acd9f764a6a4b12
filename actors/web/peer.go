package web

import (
	"context"
	"net/http"

	"kitestring/actors/web/api"
)

// Peers is the second server that shares the login. The errors say what is wrong
// and what to do.
type Peers interface {
	Status() api.Peer
	Invite(addr string) (api.PeerInvitation, error)
	Join(ctx context.Context, code string) (api.Peer, error)
	Remove() (name string, err error)
}

func (s *server) invitePeer(w http.ResponseWriter, r *http.Request) {
	var in api.PeerInvite
	if !decodeBody(w, r, &in) {
		return
	}
	invitation, err := s.Peers.Invite(in.Addr)
	if err != nil {
		writeProblem(w, http.StatusUnprocessableEntity, "no code was made", err.Error()+".", nil)
		return
	}
	writeJSON(w, http.StatusCreated, invitation)
}

func (s *server) joinPeer(w http.ResponseWriter, r *http.Request) {
	var in api.PeerJoin
	if !decodeBody(w, r, &in) {
		return
	}
	joined, err := s.Peers.Join(r.Context(), in.Code)
	if err != nil {
		writeProblem(w, http.StatusUnprocessableEntity, "not enrolled", err.Error()+".", nil)
		return
	}
	writeJSON(w, http.StatusOK, joined)
}

func (s *server) removePeer(w http.ResponseWriter, _ *http.Request) {
	name, err := s.Peers.Remove()
	if err != nil {
		writeProblem(w, http.StatusUnprocessableEntity, "nothing was removed", err.Error()+".", nil)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"removed": name})
}

// statusPeer is nil without a second server.
func (s *server) statusPeer() *api.Peer {
	if status := s.Peers.Status(); status.Enrolled {
		return &status
	}
	return nil
}
