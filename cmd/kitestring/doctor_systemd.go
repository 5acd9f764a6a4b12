package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kitestring/actors/token"
)

// systemdUnitDirs are where systemd looks for units of the system.
var systemdUnitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"}

// lookAtSystemd reads our unit, where there is one, for settings that hide the
// file from the server or freeze what is in it.
func (d *doctor) lookAtSystemd(context.Context) {
	unit, settings, environment := readUnit(d.unitDirs, "kitestring.service")
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
	frozen := slices.IndexFunc(environment, d.holdsToken)
	switch {
	case frozen >= 0:
		d.note(checkSystemd, warned, unit+" has EnvironmentFile="+environment[frozen]+": systemd reads that once at start, so yesterday's token stays in the environment, and reads some lines in another way",
			"remove that line and name the file in ExecStart=... run --env-file "+d.envFile)
	case on("ProtectHome") && below("/home", "/root", "/run/user"):
		d.note(checkSystemd, failed, fmt.Sprintf("%s has ProtectHome=, so its server cannot see %s", unit, d.envFile), "keep the file in the unit's StateDirectory: /var/lib/kitestring/.env")
	case on("PrivateTmp") && below("/tmp", "/var/tmp"):
		d.note(checkSystemd, failed, fmt.Sprintf("%s has PrivateTmp=, so its server has another /tmp than the one with %s", unit, d.envFile), "keep the file in the unit's StateDirectory: /var/lib/kitestring/.env")
	default:
		d.note(checkSystemd, good, unit+" lets the server see the file", "")
	}
}

// holdsToken tells whether a file that systemd reads into the environment is
// the .env file, or has a token of its own.
func (d *doctor) holdsToken(path string) bool {
	if path == d.envFile {
		return true
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false // systemd's "-" allows it to be missing; what this user may not read, nobody can judge for them
	}
	_, held := token.Parse(text).Lookup(token.KeyAccessToken)
	return held
}

// readUnit is the path of a unit, its settings, and the files that it reads
// into the environment; drop-ins included, a later setting counts. "" when
// there is none.
func readUnit(dirs []string, name string) (path string, settings map[string]string, environment []string) {
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
		return "", nil, nil
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok || strings.HasPrefix(key, "#") || strings.HasPrefix(key, ";") {
				continue
			}
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
			settings[key] = value
			if key == "EnvironmentFile" {
				environment = append(environment, strings.Replace(strings.TrimPrefix(value, "-"), "%S", "/var/lib", 1))
			}
		}
	}
	return path, settings, environment
}
