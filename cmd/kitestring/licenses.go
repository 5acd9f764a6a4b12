package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kitestring/actors/web"
	"kitestring/cmd/kitestring/cli"
)

// thirdParty holds the licences of every Go module in the binary, as their
// authors wrote them. A test compares it with what is linked, and writes it:
// go test ./cmd/kitestring -run Licences -update.
//
//go:embed licenses.txt
var thirdParty string

// licenceMark begins the line that names a module; no licence has such a line.
const licenceMark = "=====> "

// licence is one entry of "licenses --json".
type licence struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	Text    string `json:"text"`
}

// licences are the modules' and the dashboard's.
func licences() (all []licence) {
	for section := range strings.SplitSeq(thirdParty, licenceMark) {
		if name, text, ok := strings.Cut(section, "\n"); ok {
			module, v, _ := strings.Cut(name, " ")
			all = append(all, licence{module, v, strings.Trim(text, "\n") + "\n"})
		}
	}
	return append(all, licence{"dashboard", version, web.Licences()})
}

func licencesCommand(p *cli.Program) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "licenses [MODULE...]", Short: "Print the licences of the software in the binary",
		Long: `Print the licences of the third-party software in the binary: of every Go module,
of Go itself and of the dashboard's script. Name modules to see only theirs.`,
		RunE: func(_ *cobra.Command, args []string) error {
			wanted := licences()
			for _, name := range args {
				if !slices.ContainsFunc(wanted, func(l licence) bool { return l.Module == name }) {
					return cli.Misuse("no module %q in the binary; see \"kitestring licenses --json\"", name)
				}
			}
			wanted = slices.DeleteFunc(wanted, func(l licence) bool { return len(args) > 0 && !slices.Contains(args, l.Module) })
			if asJSON {
				return p.PrintJSON(wanted)
			}
			for _, l := range wanted {
				if _, err := fmt.Fprintf(p.Stdout, "%s%s %s\n\n%s\n", licenceMark, l.Module, l.Version, l.Text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON list of {module, version, text}")
	return c
}
