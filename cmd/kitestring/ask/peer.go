package ask

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages/ist"
)

func peerCommand(p *cli.Program) *cobra.Command {
	c := p.Reading(&cobra.Command{
		Use: "peer", Short: "One login for two servers: enrol the second one, look at it, remove it",
		Long: `Two servers of one API key share a login: whichever of them has the newer token
that Kite accepts gives it to the other, which writes it into its own .env file. A
login on either serves both within ten seconds.

One of the two listens, the other connects to it, over one TCP port that the first
one's firewall lets the second one through to (in a VPN, if you can):

  on the first     kitestring run --peer-addr 10.0.0.5:8440
                   kitestring peer invite             prints a code, good once for ten minutes
  on the second    kitestring peer join CODE
  on either        kitestring peer status

The connection is TLS with both servers' own certificates, which the enrolment
pins; a token crosses it only sealed to the other server's key. Keys and enrolment
are in the state directory. Kite is asked about a token of the other server's
before it is written; one that it refuses is not. "kitestring peer remove" ends it,
on both.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return printPeer(c, p) },
	})
	c.AddCommand(invitePeerCommand(p), joinPeerCommand(p), peerStatusCommand(p), removePeerCommand(p))
	return c
}

func invitePeerCommand(p *cli.Program) *cobra.Command {
	var addr string
	c := p.Acting(&cobra.Command{
		Use: "invite", Short: "Make a code for the other server; it is good once, for ten minutes",
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var made api.PeerInvitation
			if err := p.Post(c.Context(), "/api/v1/peer/invite", api.PeerInvite{Addr: addr}, &made); err != nil || p.JSON {
				return err
			}
			fmt.Fprintf(p.Stdout, "On the other server, until %s IST:\n\n  kitestring peer join %s\n\nIt connects to this server at %s. The code is good once; until then, keep it secret.\n",
				made.ExpiresAt.In(ist.Zone).Format("15:04:05"), made.Code, made.Addr)
			return nil
		},
	})
	c.Flags().StringVar(&addr, "reach", "", "where the other server reaches this one, like 10.0.0.5:8440 (default: where it listens)")
	return c
}

func joinPeerCommand(p *cli.Program) *cobra.Command {
	return p.Acting(&cobra.Command{
		Use: "join CODE", Short: "Share the login with the server that made the code",
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var joined api.Peer
			if err := p.Post(c.Context(), "/api/v1/peer/join", api.PeerJoin{Code: args[0]}, &joined); err != nil || p.JSON {
				return err
			}
			fmt.Fprintf(p.Stdout, "%s at %s is the peer now (certificate %s). See how both stand: kitestring peer status\n", joined.Name, joined.PeerAddr, joined.Certificate)
			return nil
		},
	})
}

func peerStatusCommand(p *cli.Program) *cobra.Command {
	return p.Reading(&cobra.Command{
		Use: "status", Short: "The other server, and whether both work with one token",
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return printPeer(c, p) },
	})
}

func removePeerCommand(p *cli.Program) *cobra.Command {
	return p.Acting(&cobra.Command{
		Use: "remove", Short: "Forget the other server; do it on both",
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var removed map[string]string
			if err := p.Call(c.Context(), http.MethodDelete, "/api/v1/peer", nil, &removed); err != nil || p.JSON {
				return err
			}
			fmt.Fprintln(p.Stdout, removed["removed"], "is no peer any more. On that server, too: kitestring peer remove")
			return nil
		},
	})
}

func printPeer(c *cobra.Command, p *cli.Program) error {
	var peer api.Peer
	if err := p.Get(c.Context(), "/api/v1/peer", &peer); err != nil || p.JSON {
		return err
	}
	return showPeer(p, peer)
}

func showPeer(p *cli.Program, peer api.Peer) error {
	w := p.Rows(p.Stdout)
	listens := "does not listen for a peer"
	if peer.Addr != "" {
		listens = "listens for the peer at " + peer.Addr
	}
	fmt.Fprintf(w, "this server\t%s\n", listens)
	if !peer.Enrolled {
		fmt.Fprintf(w, "peer\tnone: %s\n", peer.Reason)
		return w.Flush()
	}
	way := "connects to this server"
	if peer.PeerAddr != "" {
		way = "at " + peer.PeerAddr
	}
	fmt.Fprintf(w, "peer\t%s, %s, certificate %s, version %s\n", peer.Name, way, peer.Certificate, peer.Version)
	fmt.Fprintf(w, "login\t%s\n", peerLine(peer))
	for _, side := range []struct {
		name  string
		token api.PeerToken
	}{{"token here", peer.Mine}, {"token there", peer.Theirs}} {
		fmt.Fprintf(w, "%s\t%s\n", side.name, peerTokenLine(side.token))
	}
	fmt.Fprintf(w, "compared\t%s\n", ago(peer.ComparedAgeSeconds))
	if peer.Warning != "" {
		fmt.Fprintf(w, "warning\t%s\n", peer.Warning)
	}
	return w.Flush()
}

// peerLine is the shared login in one line.
func peerLine(peer api.Peer) string {
	switch {
	case peer.Coherent && peer.Reason == "":
		return "one token on this server and on " + peer.Name
	case peer.Coherent:
		return peer.Name + ": " + peer.Reason
	}
	return "NOT ONE TOKEN on this server and on " + peer.Name + ": " + peer.Reason
}

func peerTokenLine(t api.PeerToken) string {
	if t.Fingerprint == "" {
		return "none"
	}
	line := fmt.Sprintf("%s, generation %d, refused or not proven", t.Fingerprint, t.Generation)
	if t.Valid {
		line = fmt.Sprintf("%s, generation %d, accepted by Kite for %s", t.Fingerprint, t.Generation, (time.Duration(t.AgeSeconds) * time.Second).String())
	}
	if t.Pending {
		line += "; a newer one is being checked"
	}
	return line
}
