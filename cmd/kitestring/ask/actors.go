package ask

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/supervisor"
)

func actorsCommand(p *cli.Program) *cobra.Command {
	return p.Reading(&cobra.Command{
		Use: "actors", Short: "The supervision tree", Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var all []api.Actor
			if err := p.Get(c.Context(), "/api/v1/actors", &all); err != nil || p.JSON {
				return err
			}
			t := &cli.Table{
				Head:  []string{"ACTOR", "STATE", "EPOCH", "GEN", "UPTIME", "MAILBOX", "CONFLATED", "DROPPED", "RESTARTS", "IN WINDOW", "NEXT TRY", "LAST ERROR"},
				Ranks: []int{0, 0, 6, 0, 4, 5, 8, 2, 0, 7, 1, 3},
			}
			depth := map[string]int{}
			for _, a := range all {
				if a.Parent != "" {
					depth[a.Name] = depth[a.Parent] + 1
				}
				name := strings.Repeat("  ", depth[a.Name]) + a.Name
				if a.Kind != "worker" {
					t.Add(name, a.State, "", "", "", "", "", "", fmt.Sprint(a.Restarts), fmt.Sprintf("%d/%d", a.ChildrenInWindow, a.ChildrenAllowed), "", a.LastError)
					continue
				}
				generation, next := "-", "-"
				if a.Generation > 0 {
					generation = fmt.Sprint(a.Generation)
				}
				if a.NextRetryAt != nil {
					next = time.Until(*a.NextRetryAt).Round(time.Millisecond).String()
				}
				t.Add(name, a.State, fmt.Sprint(a.Epoch), generation, time.Duration(a.UptimeSeconds*float64(time.Second)).Round(time.Second).String(),
					fmt.Sprintf("%d/%d", a.Mailbox.Depth, a.Mailbox.Capacity), fmt.Sprint(a.Mailbox.Conflated), fmt.Sprint(a.Mailbox.Dropped),
					fmt.Sprint(a.Restarts), fmt.Sprintf("%d/%d", a.RestartsInWindow, a.RestartsAllowed), next, a.LastError)
			}
			if err := p.Print(t); err != nil {
				return err
			}
			for _, a := range all {
				if a.State == "quarantined" {
					fmt.Fprintf(p.Stderr, "%s failed too often and waits for you: remove the cause that its last error names, then run: kitestring restart %s\n", a.Name, a.Name)
				}
			}
			return nil
		},
	})
}

func restartCommand(p *cli.Program) *cobra.Command {
	return p.Acting(&cobra.Command{
		Use: "restart NAME", Short: "Restart one actor; reinstate it when it is quarantined", Args: cli.Args(cobra.ExactArgs(1)), ValidArgsFunction: completeActor(p),
		RunE: func(c *cobra.Command, args []string) error {
			var answer map[string]string
			if err := p.Post(c.Context(), "/api/v1/actors/"+url.PathEscape(args[0])+"/restart", nil, &answer); err != nil || p.JSON {
				return err
			}
			fmt.Fprintf(p.Stdout, "restarting %s; see \"kitestring actors\"\n", args[0])
			return nil
		},
	})
}

func chaosCommand(p *cli.Program) *cobra.Command {
	var kind string
	var d time.Duration
	c := &cobra.Command{
		Use: "chaos NAME --kind KIND", Short: "Inject a fault into an actor of a running server",
		Long: `Inject a fault into an actor of a running server. Kinds: panic, hang, slow,
exit, goroutine (a panic in one of its goroutines), leak (a goroutine that does
not end), drop_token_messages (it ignores messages about the token),
drop_messages (it ignores all messages), panic-start (it panics, and again when
it restarts), panic-stop (it panics when it ends).`,
		Args: cli.Args(cobra.ExactArgs(1)), ValidArgsFunction: completeActor(p),
		RunE: func(c *cobra.Command, args []string) error {
			if kind == "" {
				return cli.Exit(cli.ExitUsage, errors.New("--kind is missing; it is one of "+strings.Join(chaosKinds(), ", ")))
			}
			if !slices.Contains(chaosKinds(), kind) {
				return cli.Misuse("--kind %q: it is one of %s", kind, strings.Join(chaosKinds(), ", "))
			}
			if d < 0 {
				return cli.Misuse("--for %s: it is a time like 10s; 0 is the kind's default", d)
			}
			var answer api.Chaos
			err := p.Post(c.Context(), "/api/v1/chaos", api.Chaos{Actor: args[0], Kind: kind, ForMS: d.Milliseconds()}, &answer)
			if err != nil || p.JSON {
				return err
			}
			fmt.Fprintf(p.Stdout, "fault %s injected into %s; see \"kitestring actors\"\n", kind, args[0])
			return nil
		},
	}
	c.Flags().StringVar(&kind, "kind", "", "the kind of fault")
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(chaosKinds(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	c.Flags().DurationVar(&d, "for", 0, "how long it lasts (hang, slow, drop_token_messages); 0: the kind's default")
	return p.Acting(c)
}

// completeActor offers the actors of the running server; without a server
// there is nothing to offer.
func completeActor(p *cli.Program) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		var all []api.Actor
		if len(args) == 0 && p.Get(c.Context(), "/api/v1/actors", &all) == nil {
			for _, a := range slices.DeleteFunc(all, func(a api.Actor) bool { return a.Kind != "worker" }) {
				names = append(names, cobra.CompletionWithDesc(a.Name, a.State))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func chaosKinds() (kinds []string) {
	for _, k := range supervisor.Kinds() {
		kinds = append(kinds, string(k))
	}
	return kinds
}
