package tree

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"kitestring/actors/peers"
	"kitestring/actors/ready"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor"
	"kitestring/supervisor/tree/profile"
)

// openPeers reads the enrolment of a second server, and listens for it where
// that is configured.
func (s *Server) openPeers() (err error) {
	addr := s.cfg.Reloadable.PeerAddr
	store, err := peers.OpenStore(peers.Folder(s.cfg.StateDir, s.profile), peers.NewMetrics(s.registry))
	if err != nil {
		return err
	}
	s.peers = &peers.Config{
		Store: store, Local: s.localToken, Exchange: s.kite, Write: s.takeFromPeer, Auth: pidAuth, Version: s.cfg.Version,
		Observe: s.cfg.PeerWrites,
		Audit: func(warning bool, text string) {
			if warning {
				s.log.Warn("peer", "reason", text)
			} else {
				s.log.Info("peer", "done", text)
			}
			s.webStore.Note("peer", "%s", text)
		},
	}
	if addr == "" {
		return nil
	}
	if s.peerListener, err = listenShared(addr, s.log, &s.connections); err != nil {
		return cannotListen(addr, "--peer-addr", err)
	}
	s.peers.Listen, s.peers.Addr = s.peerListener.listen, s.PeerAddr()
	s.log.Info("listening for a peer", "addr", s.PeerAddr())
	return nil
}

// PeerAddr is where the server listens for its peer, "" for nowhere.
func (s *Server) PeerAddr() string {
	if s.peerListener == nil {
		return ""
	}
	return s.peerListener.Addr().String()
}

// localToken is the token as the peer's is compared with it.
func (s *Server) localToken() peers.Local {
	view := s.store.Current()
	l := peers.Local{Session: view.Adopted, Pending: !view.Candidate.IsZero(), APIKey: s.store.Credentials().APIKey, Account: s.authStore.Account()}
	l.Status, _ = s.authStore.Adopted()
	if own := profile.Value(s.store, profile.KeyAccount); own != "" {
		l.Account = own
	}
	return l
}

// takeFromPeer writes a token of the peer's, where a login would be written.
func (s *Server) takeFromPeer(ctx context.Context, t messages.AccessToken) error {
	if s.profile == "sim" {
		if err := profile.MayWrite(s.store); err != nil {
			return err
		}
	}
	return s.store.SetToken(ctx, t)
}

// peersSpec is the peers' child of the root.
func (s *Server) peersSpec() supervisor.Spec {
	return supervisor.Spec{Name: peers.Name, Produce: peers.New(s.peers)}
}

// peerPart is how the login that two servers share stands.
func (s *Server) peerPart() ready.Part {
	st := s.peers.Store.Status()
	if st.Peer == nil {
		return ready.Part{}
	}
	p := s.part(peers.Name, "shares the login with "+st.Peer.Name)
	p.Warning, p.Fault, p.Wait = cmp.Or(p.Fault, p.Wait), "", "" // a session can do without
	switch {
	case p.Warning != "":
	case !st.Coherent:
		p.Warning, p.Fix = "this server and its peer "+st.Peer.Name+" do not work with one token: "+st.Reason, "kitestring peer status; the runbook has a section about it, KitestringPeerNotCoherent"
	case st.Warning != "":
		p.Warning, p.Fix = st.Warning, "timedatectl set-ntp true, on the server whose clock is wrong"
	}
	return p
}

// peerView shows the peer to the web actor.
type peerView struct{ s *Server }

// Status implements web.Peers.
func (v peerView) Status() api.Peer {
	st := v.s.peers.Store.Status()
	p := api.Peer{
		Addr: v.s.PeerAddr(), Coherent: st.Coherent, Reason: st.Reason, Warning: st.Warning, ClockOffSeconds: st.ClockOff.Seconds(),
		Mine: peerToken(st.Mine), Theirs: peerToken(st.Theirs), Version: st.Version,
	}
	if st.Peer != nil {
		enrolled := st.Peer.EnrolledAt.UTC()
		p.Enrolled, p.Name, p.PeerAddr, p.Certificate, p.EnrolledAt = true, st.Peer.Name, st.Peer.Addr, st.Peer.Certificate[:16], &enrolled
	}
	if !st.Met.IsZero() {
		age := time.Since(st.Met).Seconds()
		p.ComparedAgeSeconds = &age
	}
	return p
}

func peerToken(t peers.Token) api.PeerToken {
	return api.PeerToken{Fingerprint: t.Fingerprint, Generation: messages.Generation(t.Generation), Valid: t.Valid, Pending: t.Pending, AgeSeconds: float64(t.AgeMS) / 1000}
}

// Invite implements web.Peers.
func (v peerView) Invite(addr string) (api.PeerInvitation, error) {
	code, at, expires, err := v.s.peers.Invite(addr)
	return api.PeerInvitation{Code: code, Addr: at, ExpiresAt: expires.UTC()}, err
}

// Join implements web.Peers.
func (v peerView) Join(ctx context.Context, code string) (api.Peer, error) {
	if err := v.s.peers.Join(ctx, code); err != nil {
		return api.Peer{}, err
	}
	return v.Status(), nil
}

// Remove implements web.Peers.
func (v peerView) Remove() (string, error) { return v.s.peers.Remove() }

// CheckPeerAddr says what is wrong with an address to listen on for a peer.
func CheckPeerAddr(addr string) error {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return fmt.Errorf("%.60q: it looks like 10.0.0.5:8440", addr)
	}
	return nil
}
