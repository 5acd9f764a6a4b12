// Package cli is what the commands share: streams and environment, exit codes,
// the values of flags that several commands have, the request to a server, and
// output for a terminal.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes, the same for every command.
const (
	ExitOK          = 0
	ExitError       = 1
	ExitUsage       = 2
	ExitLogin       = 4 // a login is needed
	ExitUnreachable = 5 // no server answers
	ExitDegraded    = 6 // the server answers, and the feed is not live
	ExitInterrupted = 130
)

// Program is the process as its commands see it, and the flags of those that ask
// a server.
type Program struct {
	Getenv         func(string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	Addr, EnvFile string // the server that a command asks, and where its ADMIN_TOKEN is
	JSON          bool   // print the server's answer as it is
}

// Exit ends the program with an exit code. err is nil when the command has
// printed everything itself.
func Exit(code int, err error) error { return &ExitWith{code, err} }

// Misuse is a mistake in the command line.
func Misuse(format string, args ...any) error { return Exit(ExitUsage, fmt.Errorf(format, args...)) }

// ExitWith is the error that [Exit] makes.
type ExitWith struct {
	Code int
	Err  error
}

func (e *ExitWith) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitWith) Unwrap() error { return e.Err }

// Cause is an error without the call and the path that the message names
// already.
func Cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// PrintJSON is the output of a command with --json.
func (p *Program) PrintJSON(v any) error { return json.NewEncoder(p.Stdout).Encode(v) }

// Args makes a wrong number of arguments a usage error that shows the usage.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			if c.HasSubCommands() && len(args) > 0 {
				c.SuggestionsMinimumDistance = 2
				meant := "."
				if near := c.SuggestionsFor(args[0]); len(near) > 0 {
					meant = "; did you mean " + strings.Join(near, " or ") + "?"
				}
				return Misuse("there is no command \"%s %s\"%s See \"%s --help\"", c.CommandPath(), args[0], meant, c.CommandPath())
			}
			return Misuse("%w; usage: %s", err, c.UseLine())
		}
		return nil
	}
}
