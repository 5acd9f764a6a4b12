package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/cmd/kitestring/assets"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/rehearse"
)

func TestAssetsArePrinted(t *testing.T) {
	for _, args := range [][]string{{"assets"}, {"assets", "list"}} {
		code, out, errs := kitestring(t, t.Context(), nil, "", args...)
		if code != cli.ExitOK {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
		for _, a := range assets.All() {
			if !strings.Contains(out, a.Name+" ") {
				t.Errorf("%v does not name %s", args, a.Name)
			}
		}
	}
	for _, name := range []string{"alerts", "recording", "dashboard", "runbook", "systemd"} {
		code, out, _ := kitestring(t, t.Context(), nil, "", "assets", "print", name)
		if want, err := assets.Read(name); err != nil || code != cli.ExitOK || out != string(want) {
			t.Errorf("assets print %s: exit %d, %d bytes, want %d (%v)", name, code, len(out), len(want), err)
		}
	}
	code, _, errs := kitestring(t, t.Context(), nil, "", "assets", "print", "moon")
	if code != cli.ExitUsage || !strings.Contains(errs, "moon") || !strings.Contains(errs, "runbook") {
		t.Errorf("an unknown asset: exit %d, %q", code, errs)
	}
}

// Every command of the runbook is real: those that read and restart are run
// against a server, drills and all others are looked up.
func TestCommandsOfTheRunbookAreReal(t *testing.T) {
	leftOutByShort(t)
	runbook, err := assets.Read("runbook")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := server(t, "--env-file", filepath.Join(t.TempDir(), ".env"))
	live(t, addr)
	root := command(&cli.Program{Getenv: func(string) string { return "" }})
	ran, looked := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)(?:^|`)kitestring ([^`\n>]+)").FindAllStringSubmatch(string(runbook), -1) {
		args := strings.Fields(m[1])
		line := strings.Join(args, " ")
		if ran[line] || looked[line] {
			continue
		}
		command, rest, err := root.Find(args)
		if err != nil || command == root {
			t.Errorf("kitestring %s: there is no such command", line)
			continue
		}
		looked[line] = true
		switch args[0] {
		case "drill":
			if _, err := rehearse.Find(args[1:]); err != nil && line != "drill list" {
				t.Errorf("kitestring %s: %v", line, err)
			}
		case "status", "actors", "rotations", "restart", "token", "chaos", "assets":
			if line == "token set" || line == "restart" { // the one reads a token, the other stands for any
				continue
			}
			if args[0] != "assets" {
				args = append(args, "--addr", addr)
			}
			if code, _, errs := kitestring(t, t.Context(), nil, "", args...); code != cli.ExitOK {
				t.Errorf("kitestring %s: exit %d: %s", line, code, errs)
			}
			ran[line] = true
		default:
			if err := command.ParseFlags(rest); err != nil {
				t.Errorf("kitestring %s: %v", line, err)
			}
		}
	}
	paths := regexp.MustCompile(`curl -s http://127\.0\.0\.1:8420(\S+)`).FindAllStringSubmatch(string(runbook), -1)
	for _, m := range paths {
		if body := httpGet(t, "http://"+addr+m[1]); body == "" || strings.Contains(body, "no such page") {
			t.Errorf("curl %s answers %.80q", m[1], body)
		}
	}
	if len(ran) < 8 || len(paths) < 3 {
		t.Errorf("%d commands run and %d paths asked only", len(ran), len(paths))
	}
	t.Logf("%d commands run, %d looked up, %d paths asked", len(ran), len(looked)-len(ran), len(paths))
}

// The package installs, runs and removes, in a root of its own.
func TestDebianPackage(t *testing.T) {
	leftOutByShort(t)
	t.Parallel()
	dpkg := actorstest.Tool(t, "dpkg", "dpkg")
	actorstest.Tool(t, "dpkg-deb", "dpkg")
	actorstest.Tool(t, "make", "make")
	if os.Geteuid() != 0 {
		t.Skip("dpkg installs into a scratch root as root only")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = actorstest.ModuleRoot(t)
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PATH=") }),
			"PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("make", "deb", "BINARY="+filepath.Join(dir, "kitestring"), "DEBDIR="+dir, "VERSION=v0.1-test")
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("make deb made %v (%v)", packages, err)
	}

	root := filepath.Join(dir, "root")
	for _, folder := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	into := []string{"--root=" + root, "--force-script-chrootless", "--log=" + filepath.Join(dir, "dpkg.log")}
	run(dpkg, append(into, "--install", packages[0])...)
	if said := run(filepath.Join(root, "usr/bin/kitestring"), "version"); !strings.Contains(said, "v0.1-test") {
		t.Errorf("the installed binary is %q", said)
	}
	for _, file := range []string{"lib/systemd/system/kitestring.service", "usr/share/doc/kitestring/runbook.md", "usr/share/kitestring/alerts.yml", "usr/share/man/man1/kitestring-run.1.gz", "usr/share/bash-completion/completions/kitestring", "usr/share/zsh/vendor-completions/_kitestring"} {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			t.Error(err)
		}
	}
	state := filepath.Join(root, "var/lib/private/kitestring")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, filepath.Join(root, "usr/bin/kitestring"), nil, "--env-file", filepath.Join(state, ".env"), "--state-dir", state)
	live(t, p.addr)
	if code, _ := p.end(t, syscall.SIGTERM); code != cli.ExitOK {
		t.Errorf("the installed server ended with %d", code)
	}
	run(dpkg, append(into, "--remove", "kitestring")...)
	if _, err := os.Stat(filepath.Join(state, ".env")); err != nil {
		t.Errorf("a removal took the token: %v", err)
	}
	run(dpkg, append(into, "--purge", "kitestring")...)
	for _, gone := range []string{"usr/bin/kitestring", "lib/systemd/system/kitestring.service", "usr/share/kitestring", "var/lib/private/kitestring"} {
		if _, err := os.Stat(filepath.Join(root, gone)); !os.IsNotExist(err) {
			t.Errorf("%s is still there after the purge (%v)", gone, err)
		}
	}
}
