package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// systemdUnitDirs are where systemd looks for units of the system.
var systemdUnitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"}

// lookAtSystemd reads our unit, where there is one, for settings that hide the
// file from the server or freeze what is in it.
func (d *doctor) lookAtSystemd(context.Context) {
	unit, settings := readUnit(d.unitDirs, "kitestring.service")
	if unit == "" {
		d.note(checkSystemd, skipped, "there is no kitestring.service here; \"kitestring assets print systemd\" prints one", "")
		return
	}
	below := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(d.envFile, dir+"/") })
	}
	on := func(key string) bool {
		return slices.Contains([]string{"yes", "true", "on", "1", "tmpfs"}, strings.ToLower(settings[key]))
	}
	switch {
	case settings["EnvironmentFile"] != "":
		d.note(checkSystemd, warned, unit+" has EnvironmentFile=: systemd reads that once at start, so yesterday's token stays in the environment, and reads some lines in another way",
			"remove EnvironmentFile= and name the file in ExecStart=... run --env-file "+d.envFile)
	case on("ProtectHome") && below("/home", "/root", "/run/user"):
		d.note(checkSystemd, failed, fmt.Sprintf("%s has ProtectHome=, so its server cannot see %s", unit, d.envFile), "keep the file in the unit's StateDirectory: /var/lib/kitestring/.env")
	case on("PrivateTmp") && below("/tmp", "/var/tmp"):
		d.note(checkSystemd, failed, fmt.Sprintf("%s has PrivateTmp=, so its server has another /tmp than the one with %s", unit, d.envFile), "keep the file in the unit's StateDirectory: /var/lib/kitestring/.env")
	default:
		d.note(checkSystemd, good, unit+" lets the server see the file", "")
	}
}

// readUnit is the path of a unit and its settings, drop-ins included; a later
// one counts. "" when there is none.
func readUnit(dirs []string, name string) (path string, settings map[string]string) {
	settings = map[string]string{}
	var files []string
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil && path == "" {
			path = filepath.Join(dir, name)
			files = append([]string{path}, files...)
		}
		extra, _ := filepath.Glob(filepath.Join(dir, name+".d", "*.conf")) // the pattern is good
		files = append(files, extra...)
	}
	if path == "" {
		return "", nil
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // what this user may not read, nobody can judge for them
		}
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") && !strings.HasPrefix(key, ";") {
				settings[strings.TrimSpace(key)] = strings.TrimSpace(value)
			}
		}
	}
	return path, settings
}
