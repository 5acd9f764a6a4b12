package main

import (
	"strings"

	"github.com/spf13/cobra"

	"kitestring/actors/analysis"
	"kitestring/actors/tape/export"
	"kitestring/cmd/kitestring/assets"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/rehearse"
)

func completionCommand(p *cli.Program) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion bash|zsh|fish|powershell", Short: "Print a shell's completion script",
		Long: `Print a shell's completion script. For bash, in the running shell and for good:

  source <(kitestring completion bash)
  kitestring completion bash > ~/.local/share/bash-completion/completions/kitestring

zsh: kitestring completion zsh > "${fpath[1]}/_kitestring"
fish: kitestring completion fish > ~/.config/fish/completions/kitestring.fish
powershell: kitestring completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: shells,
		Args:      cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			switch root := c.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.Stdout, true)
			case "zsh":
				return root.GenZshCompletion(p.Stdout)
			case "fish":
				return root.GenFishCompletion(p.Stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(p.Stdout)
			}
			return cli.Misuse("completion for %q: it is for %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// complete gives the shell the allowed values of a command's flags and
// arguments, and of the commands below it.
func complete(c *cobra.Command) {
	values := map[string][]cobra.Completion{
		"log-format": {"auto", "text", "json"},
		"log-level":  {"debug", "info", "warn", "error"},
		"sim-login":  {"auto", "manual"},
		"login":      {"auto", "manual"},
		"profile":    {"auto", "sim", "sandbox", "live"},
	}
	switch c.Name() {
	case "analyse":
		values["profile"], values["kind"] = []cobra.Completion{string(analysis.Calibrated), string(analysis.Classic)}, analysis.FileKinds()
	case "export":
		values["format"], values["columns"] = []cobra.Completion{export.Parquet, export.CSV, export.Bars}, []cobra.Completion{"narrow", "full"}
	case "print":
		c.ValidArgs = nil
		for _, a := range assets.All() {
			c.ValidArgs = append(c.ValidArgs, cobra.CompletionWithDesc(a.Name, a.About))
		}
	case "drill":
		c.ValidArgs = []cobra.Completion{"all", "list"}
		for _, d := range rehearse.All() {
			c.ValidArgs = append(c.ValidArgs, cobra.CompletionWithDesc(d.Name, d.Inject))
		}
	}
	for name, allowed := range values {
		if c.Flags().Lookup(name) != nil {
			// The error is that there is no such flag, or that it has values already.
			_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	for _, sub := range c.Commands() {
		complete(sub)
	}
}
