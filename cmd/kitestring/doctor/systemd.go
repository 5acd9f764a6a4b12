package doctor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"kitestring/actors/token"
	"kitestring/actors/token/dotenv"
)

// systemdUnitDirs are where systemd looks for units of the system.
var systemdUnitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"}

// lookAtSystemd reads kitestring's unit, where there is one, for settings that
// hide the file from the server or freeze what is in it.
func (e *examination) lookAtSystemd(context.Context) {
	path, settings, environment := readUnit(e.cfg.UnitDirs, "kitestring.service")
	if path == "" {
		e.note(Systemd, Skipped, "there is no kitestring.service here; \"kitestring assets print systemd\" prints one", "")
		return
	}
	below := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(e.cfg.EnvFile, dir+"/") })
	}
	on := func(key string) bool {
		return slices.Contains([]string{"yes", "true", "on", "1", "tmpfs"}, strings.ToLower(settings[key]))
	}
	frozen := slices.IndexFunc(environment, e.holdsToken)
	switch {
	case frozen >= 0:
		e.note(Systemd, Warned, path+" has EnvironmentFile="+environment[frozen]+": systemd reads that once at start, so yesterday's token stays in the environment, and reads some lines in another way",
			"remove that line and name the file in ExecStart=... run --env-file "+e.cfg.EnvFile)
	case on("ProtectHome") && below("/home", "/root", "/run/user"):
		e.note(Systemd, Failed, fmt.Sprintf("%s has ProtectHome=, so its server cannot see %s", path, e.cfg.EnvFile), "keep the file in the unit's StateDirectory: /var/lib/kitestring/.env")
	case on("PrivateTmp") && below("/tmp", "/var/tmp"):
		e.note(Systemd, Failed, fmt.Sprintf("%s has PrivateTmp=, so its server has another /tmp than the one with %s", path, e.cfg.EnvFile), "keep the file in the unit's StateDirectory: /var/lib/kitestring/.env")
	default:
		e.note(Systemd, OK, path+" lets the server see the file", "")
	}
}

// holdsToken: a file that systemd reads into the environment is the .env file,
// or has a token of its own.
func (e *examination) holdsToken(path string) bool {
	if path == e.cfg.EnvFile {
		return true
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false // systemd's "-" allows it to be missing; what this user may not read, nobody can judge for them
	}
	_, held := dotenv.Parse(text).Lookup(token.KeyAccessToken)
	return held
}

// readUnit is the path of a unit, its settings, and the files that it reads
// into the environment; drop-ins included, the last setting counts. "" when
// there is none.
func readUnit(dirs []string, name string) (path string, settings map[string]string, environment []string) {
	settings = map[string]string{}
	var files, dropIns []string
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			files = append(files, filepath.Join(dir, name))
		}
		extra, _ := filepath.Glob(filepath.Join(dir, name+".d", "*.conf")) // the pattern is OK
		dropIns = append(dropIns, extra...)
	}
	if len(files) == 0 {
		return "", nil, nil
	}
	for _, file := range append(files[:1], dropIns...) {
		text, _ := os.ReadFile(file) // what cannot be read has no settings
		options, _ := unit.DeserializeOptions(bytes.NewReader(text))
		for _, o := range options {
			settings[o.Name] = o.Value
			if o.Name == "EnvironmentFile" {
				environment = append(environment, strings.Replace(strings.TrimPrefix(o.Value, "-"), "%S", "/var/lib", 1))
			}
		}
	}
	return files[0], settings, environment
}
