package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"kitestring/cmd/kitestring/cli"
)

func manCommand(p *cli.Program) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "man [COMMAND...]", Short: "Print a manual page, or write all of them into a folder",
		Long: `Print the manual page of kitestring or of one of its commands, or write all of
them into a folder. For example:

  kitestring man run | man -l -
  kitestring man --dir /usr/local/share/man/man1`,
		RunE: func(c *cobra.Command, args []string) error {
			header := &doc.GenManHeader{Section: "1", Source: "kitestring " + version, Manual: "kitestring"}
			root := c.Root()
			root.DisableAutoGenTag = true
			keepExamples(root)
			if dir != "" {
				if len(args) > 0 {
					return cli.Misuse("--dir writes every page: leave the command out")
				}
				// Everybody may read manual pages: the program's umask is for secrets.
				defer syscall.Umask(syscall.Umask(0o022))
				if err := errors.Join(os.MkdirAll(dir, 0o755), doc.GenManTree(root, header, dir)); err != nil {
					return fmt.Errorf("--dir %s: %w", dir, cli.Cause(err))
				}
				fmt.Fprintln(p.Stderr, "manual pages written into", dir)
				return nil
			}
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return cli.Misuse("there is no command %q; see \"kitestring --help\"", args)
			}
			return doc.GenMan(about, header, p.Stdout)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "write every page into this folder (made when it is missing)")
	return c
}

// keepExamples marks what is indented in a help text as code for the page,
// where Markdown wants four blanks and a help text has two.
func keepExamples(c *cobra.Command) {
	c.Long = strings.ReplaceAll(c.Long, "\n  ", "\n      ")
	for _, sub := range c.Commands() {
		keepExamples(sub)
	}
}
