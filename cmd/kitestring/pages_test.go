package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kitestring/cmd/kitestring/cli"

	"github.com/spf13/cobra"
)

// everyCommand calls f with each command that a person can run.
func everyCommand(f func(c *cobra.Command)) {
	p := &cli.Program{Getenv: func(string) string { return "" }}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		f(c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(command(p))
}

func TestManHasAPageForEveryCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	code, _, stderr := kitestring(t, t.Context(), nil, "", "man", "--dir", dir)
	if code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	count := 0
	everyCommand(func(c *cobra.Command) {
		page := filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			return
		}
		count++
		if !strings.Contains(string(text), ".TH ") || c.Short == "" {
			t.Errorf("%s: %q", c.CommandPath(), text)
		}
		if info, err := os.Stat(page); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", page, info.Mode(), err)
		}
		_, printed, _ := kitestring(t, t.Context(), nil, "", append([]string{"man"}, strings.Fields(c.CommandPath())[1:]...)...)
		if printed != string(text) {
			t.Errorf("%s: printed is not what is written", c.CommandPath())
		}
	})
	t.Logf("%d pages", count)
	_, run, _ := kitestring(t, t.Context(), nil, "", "man", "run")
	if !strings.Contains(run, `    "mailbox": {"ticks": 8192}`) {
		t.Errorf("the example is not kept: %s", run)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, stderr := kitestring(t, t.Context(), nil, "", "completion", shell); code != cli.ExitOK || !strings.Contains(stdout, "kitestring") {
			t.Errorf("%s: exit %d, %q", shell, code, stderr)
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"analyse", "--kind", ""}, []string{"volume_pulse", "zone_control"}},
		{[]string{"analyse", "--profile", ""}, []string{"calibrated", "classic"}},
		{[]string{"run", "--profile", ""}, []string{"auto", "sandbox"}},
		{[]string{"run", "--sim-login", ""}, []string{"auto", "manual"}},
		{[]string{"chaos", "feed", "--kind", ""}, []string{"panic", "drop_token_messages"}},
		{[]string{"drill", "rotate"}, []string{"rotate-valid"}},
		{[]string{"completion", ""}, []string{"bash", "fish"}},
		{[]string{"an"}, []string{"analyse"}},
	} {
		_, stdout, _ := kitestring(t, t.Context(), nil, "", append([]string{"__complete"}, c.args...)...)
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v: %q does not offer %q", c.args, stdout, want)
			}
		}
	}
}

// TestEveryCommandExplainsItself: help and usage hold what a person needs.
func TestEveryCommandExplainsItself(t *testing.T) {
	silent := map[string]bool{ // these do something else than report, or print JSON always
		"kitestring": true, "kitestring run": true, "kitestring edge": true, "kitestring sim": true, "kitestring replay": true, "kitestring token": true, "kitestring token set": true,
		"kitestring record": true, "kitestring soak": true, "kitestring man": true, "kitestring completion": true, "kitestring assets": true, "kitestring assets print": true,
	}
	everyCommand(func(c *cobra.Command) {
		path := c.CommandPath()
		if has := c.Flags().Lookup("json") != nil; has == silent[path] {
			t.Errorf("%s: --json is there: %t", path, has)
		}
		if !c.Runnable() || c.Short == "" || strings.HasSuffix(c.Short, ".") || len(c.Short) > 110 {
			t.Errorf("%s: short %q", path, c.Short)
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 110 {
				t.Errorf("%s: a line of its help is too long: %q", path, line)
			}
		}
	})
}
