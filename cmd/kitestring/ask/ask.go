// Package ask has the commands that ask a running server over its HTTP API, or
// have it do something; one file a command. What a server says is in package api.
package ask

import (
	"github.com/spf13/cobra"

	"kitestring/cmd/kitestring/cli"
)

// Commands are the commands of this package.
func Commands(p *cli.Program) []*cobra.Command {
	return []*cobra.Command{
		statusCommand(p),
		readyCommand(p),
		assumptionsCommand(p),
		loginCommand(p),
		tokenCommand(p),
		rotationsCommand(p),
		actorsCommand(p),
		clientsCommand(p),
		peerCommand(p),
		alertsCommand(p),
		readingsCommand(p),
		barsCommand(p),
		eventsCommand(p),
		chainCommand(p),
		restartCommand(p),
		chaosCommand(p),
	}
}
