package doctor

import (
	"context"
	"fmt"

	"kitestring/actors/peers"
)

// lookAtPeer checks the second server that shares the login: its enrolment on
// disk, and what the running server says of it.
func (e *examination) lookAtPeer(context.Context) {
	there, err := peers.Inspect(peers.Folder(e.cfg.StateDir, e.plan.Profile))
	switch {
	case err != nil:
		e.note(Peer, Failed, fmt.Sprintf("the keys of the shared login cannot be used: %s", err), "\"kitestring peer remove\" on both servers, then enrol again: kitestring peer --help")
	case !there:
		e.note(Peer, Skipped, "no second server shares the login", "")
	case e.running == nil || e.running.Peer == nil:
		e.note(Peer, Skipped, "a second server shares the login; no server runs here that could reach it", "")
	case !e.running.Peer.Coherent:
		e.note(Peer, Warned, e.running.Peer.Name+": "+e.running.Peer.Reason, "see KitestringPeerNotCoherent in the runbook: kitestring assets print runbook")
	case e.running.Peer.Warning != "":
		e.note(Peer, Warned, e.running.Peer.Warning, "timedatectl set-ntp true, on the server whose clock is wrong")
	default:
		e.note(Peer, OK, "one token on this server and on "+e.running.Peer.Name, "")
	}
}
