package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/cmd/kitestring/assets"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/doctor"
	"kitestring/messages"
)

const (
	doctorToken  = "abcdefghijklmnopqrstuvwxyz012345"
	doctorSecret = "secretsecretsecretsecretsecret00"
)

// patient is an environment in which nothing is wrong until a test changes it.
type patient struct {
	dir, path  string
	lines      []string // of the file; KEY=value, the last word on the key wins
	noFile     bool
	mode       os.FileMode
	env        map[string]string
	addr       string
	args       []string
	kite       *httptest.Server
	ahead      time.Duration // of our clock, before Kite's
	status     int           // of Kite's answer; 0: as the token deserves
	authorized safeBuffer    // how Kite was asked
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{dir: t.TempDir(), mode: 0o600, env: map[string]string{}}
	p.path = filepath.Join(p.dir, ".env")
	p.kite = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(&p.authorized, r.Header.Get("Authorization"))
		w.Header().Set("Date", time.Now().Add(-p.ahead).UTC().Format(http.TimeFormat))
		switch {
		case p.status != 0:
			w.WriteHeader(p.status)
		case r.Header.Get("Authorization") == "token thekey:"+doctorToken && r.URL.Path == "/user/profile":
			fmt.Fprint(w, `{"status": "success", "data": {"user_id": "AB1234"}}`)
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"status": "error", "message": "Incorrect api_key or access_token.", "error_type": "TokenException"}`)
		}
	}))
	t.Cleanup(p.kite.Close)
	p.addr = freeAddr(t) // after Kite has its own, which could be the same
	p.lines = []string{
		"ZERODHA_API_KEY=thekey", "ZERODHA_API_SECRET=" + doctorSecret, "ZERODHA_ACCESS_TOKEN=" + doctorToken,
		"REDIRECT_URL=http://" + p.addr + "/callback", "KITE_API_URL=" + p.kite.URL,
	}
	return p
}

// freeAddr is an address on which no program listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// set replaces a key's line; "": removes it.
func (p *patient) set(key, line string) {
	for i, l := range p.lines {
		if strings.HasPrefix(l, key+"=") {
			p.lines = append(p.lines[:i:i], p.lines[i+1:]...)
			break
		}
	}
	if line != "" {
		p.lines = append(p.lines, line)
	}
}

// examined writes the file and runs the doctor.
func (p *patient) examined(t *testing.T) (code int, report doctor.Report) {
	t.Helper()
	if !p.noFile {
		if err := os.WriteFile(p.path, []byte(strings.Join(p.lines, "\n")+"\n"), p.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p.path, p.mode); err != nil { // past the umask
			t.Fatal(err)
		}
	}
	args := append([]string{"doctor", "--env-file", p.path, "--addr", p.addr}, p.args...)
	_, text, _ := kitestring(t, t.Context(), p.env, "", args...)
	code, stdout, stderr := kitestring(t, t.Context(), p.env, "", append(args, "--json")...)
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	for _, c := range report.Checks {
		if !strings.Contains(text, string(c.Status)+" ") || !strings.Contains(text, " "+c.Name+" ") || !strings.Contains(text, c.Fix) {
			t.Errorf("the text does not hold %+v:\n%s", c, text)
		}
		if (c.Status == doctor.Warned || c.Status == doctor.Failed) != (c.Fix != "") || c.Detail == "" || strings.Contains(c.Detail+c.Fix, "\n") {
			t.Errorf("a finding without its fix in one line, or a fix without a finding: %+v", c)
		}
	}
	for _, secret := range []string{doctorToken, doctorSecret} {
		if strings.Contains(text+stdout+stderr, secret) {
			t.Errorf("a secret is printed:\n%s", text)
		}
	}
	if entries, err := os.ReadDir(p.dir); err != nil || len(entries) > 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	return code, report
}

func TestDoctorFindsNothingWrong(t *testing.T) {
	code, report := newPatient(t).examined(t)
	if code != cli.ExitOK || !report.OK || report.Version != 1 || report.Profile != "live" || len(report.Checks) != 20 {
		t.Errorf("exit %d, %+v", code, report)
	}
	for _, c := range report.Checks {
		if c.Status == doctor.Failed || c.Status == doctor.Warned && c.Name != doctor.Inotify && c.Name != doctor.Recording { // the machine's own file system may be silent, its disk slow
			t.Errorf("%+v", c)
		}
	}
}

func TestDoctorNamesEachTrap(t *testing.T) {
	for name, c := range map[string]struct {
		disturb func(t *testing.T, p *patient)
		check   string
		status  doctor.Status
		says    string // of detail or fix: a regular expression
		code    int
	}{
		"no file":        {func(_ *testing.T, p *patient) { p.noFile = true }, doctor.EnvFile, doctor.Failed, "there is no", cli.ExitError},
		"a directory":    {func(_ *testing.T, p *patient) { p.noFile = true; _ = os.Mkdir(p.path, 0o700) }, doctor.EnvFile, doctor.Failed, "is a directory", cli.ExitError},
		"no directory":   {func(_ *testing.T, p *patient) { p.noFile = true; p.path = filepath.Join(p.dir, "none", ".env") }, doctor.Writable, doctor.Failed, "no such file", cli.ExitError},
		"open to others": {func(_ *testing.T, p *patient) { p.mode = 0o644 }, doctor.Permissions, doctor.Warned, "chmod 600", cli.ExitOK},
		"an open quote":  {func(_ *testing.T, p *patient) { p.set("ZERODHA_ACCESS_TOKEN", `ZERODHA_ACCESS_TOKEN="`+doctorToken) }, doctor.Parseable, doctor.Failed, "ZERODHA_ACCESS_TOKEN", cli.ExitError},
		"a URL for token": {func(_ *testing.T, p *patient) {
			p.set("ZERODHA_ACCESS_TOKEN", "ZERODHA_ACCESS_TOKEN=https://kite.trade")
		}, doctor.Parseable, doctor.Failed, "is a URL", cli.ExitError},
		"a refused file's token": {func(t *testing.T, p *patient) {
			p.set("ZERODHA_ACCESS_TOKEN", `ZERODHA_ACCESS_TOKEN="`+doctorToken)
			t.Cleanup(func() {
				if strings.Contains(p.authorized.String(), ":") {
					t.Errorf("Kite was asked with a token that the file's reader refuses: %q", p.authorized.String())
				}
			})
		}, doctor.Token, doctor.Skipped, "cannot be used", cli.ExitError},
		"repeated key":                       {func(_ *testing.T, p *patient) { p.lines = append(p.lines, "ZERODHA_API_KEY=thekey") }, doctor.Parseable, doctor.Warned, "2 times", cli.ExitOK},
		"a junk line":                        {func(_ *testing.T, p *patient) { p.lines = append(p.lines, "what is this") }, doctor.Parseable, doctor.Warned, "skipped", cli.ExitOK},
		"no secret":                          {func(_ *testing.T, p *patient) { p.set("ZERODHA_API_SECRET", "") }, doctor.Keys, doctor.Warned, "ZERODHA_API_SECRET", cli.ExitOK},
		"no key":                             {func(_ *testing.T, p *patient) { p.set("ZERODHA_API_KEY", "ZERODHA_API_KEY=") }, doctor.Keys, doctor.Failed, "ZERODHA_API_KEY", cli.ExitError},
		"no credentials":                     {func(_ *testing.T, p *patient) { p.lines = nil }, doctor.Keys, doctor.Failed, "ZERODHA_API_SECRET=...", cli.ExitError},
		"another bot's file":                 {func(_ *testing.T, p *patient) { p.lines = []string{"KITE_API_KEY=abc"} }, doctor.Profile, doctor.Failed, "KITE_API_KEY. Add the lines ZERODHA_API_KEY=[.]{3} and .*--profile sim", cli.ExitError},
		"a real key in the simulator's file": {func(_ *testing.T, p *patient) { p.lines = append(p.lines, "KITESTRING_PROFILE=sim") }, doctor.Profile, doctor.Failed, "remove the line KITESTRING_PROFILE=sim", cli.ExitError},
		"a bad key":                          {func(_ *testing.T, p *patient) { p.set("ZERODHA_API_KEY", ""); p.env["ZERODHA_API_KEY"] = "a b" }, doctor.Keys, doctor.Failed, "blanks", cli.ExitError},
		"a shadow":                           {func(_ *testing.T, p *patient) { p.env["ZERODHA_ACCESS_TOKEN"] = "yesterdays" }, doctor.Environment, doctor.Warned, "ZERODHA_ACCESS_TOKEN", cli.ExitOK},
		"live without":                       {func(_ *testing.T, p *patient) { p.lines = nil; p.args = []string{"--profile", "live"} }, doctor.Profile, doctor.Failed, "--profile sim", cli.ExitError},
		"sim on real":                        {func(_ *testing.T, p *patient) { p.args = []string{"--profile", "sim"} }, doctor.Profile, doctor.Failed, "real account", cli.ExitError},
		"bad endpoint":                       {func(_ *testing.T, p *patient) { p.set("KITE_API_URL", "KITE_API_URL=nowhere") }, doctor.Profile, doctor.Failed, "KITE_API_URL", cli.ExitError},
		"open to all":                        {func(_ *testing.T, p *patient) { p.addr = "0.0.0.0:" + port(p.addr) }, doctor.Profile, doctor.Failed, "ADMIN_TOKEN", cli.ExitError},
		"a short admin token":                {func(_ *testing.T, p *patient) { p.lines = append(p.lines, "ADMIN_TOKEN=short") }, doctor.Profile, doctor.Failed, "can be guessed. make it at least 32 [(]openssl", cli.ExitError},
		"port taken": {func(t *testing.T, p *patient) {
			l, err := net.Listen("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.NotFoundHandler()}
			go func() { _ = srv.Serve(l) }()
			t.Cleanup(func() { _ = srv.Close() })
		}, doctor.Port, doctor.Failed, "another program", cli.ExitError},
		"any port":         {func(_ *testing.T, p *patient) { p.addr = "127.0.0.1:0" }, doctor.Port, doctor.Warned, "port 0", cli.ExitError},
		"another file":     {func(t *testing.T, p *patient) { p.serve(t, "aaaaaaaa", true) }, doctor.Server, doctor.Warned, "another file", cli.ExitOK},
		"a lagging holder": {func(t *testing.T, p *patient) { p.serve(t, p.fingerprint(), false) }, doctor.Server, doctor.Warned, "older token", cli.ExitOK},
		"not live":         {func(t *testing.T, p *patient) { p.serve(t, p.fingerprint(), true) }, doctor.Server, doctor.Warned, "The feed is down", cli.ExitOK},
		"not our address":  {func(_ *testing.T, p *patient) { p.addr = "127.0.0.1:1" }, doctor.Redirect, doctor.Failed, "127.0.0.1:1/callback", cli.ExitError},
		"wrong path":       {func(_ *testing.T, p *patient) { p.set("REDIRECT_URL", "REDIRECT_URL=http://"+p.addr+"/login") }, doctor.Redirect, doctor.Failed, "/callback", cli.ExitError},
		"root as redirect": {func(_ *testing.T, p *patient) { p.set("REDIRECT_URL", "REDIRECT_URL=http://"+p.addr+"/") }, doctor.Redirect, doctor.OK, "leads to the server", cli.ExitOK},
		"slash at the end": {func(_ *testing.T, p *patient) {
			p.set("REDIRECT_URL", "REDIRECT_URL=http://"+p.addr+"/callback/")
			p.set("KITE_API_URL", "KITE_API_URL="+p.kite.URL+"/")
		}, doctor.Token, doctor.OK, "Kite accepts", cli.ExitOK},
		"no address":   {func(_ *testing.T, p *patient) { p.set("REDIRECT_URL", "REDIRECT_URL=callback") }, doctor.Redirect, doctor.Failed, "not an address", cli.ExitError},
		"another host": {func(_ *testing.T, p *patient) { p.set("REDIRECT_URL", "REDIRECT_URL=https://kite.example/callback") }, doctor.Redirect, doctor.Warned, "another host", cli.ExitOK},
		"https":        {func(_ *testing.T, p *patient) { p.set("REDIRECT_URL", "REDIRECT_URL=https://"+p.addr+"/callback") }, doctor.Redirect, doctor.Warned, "https", cli.ExitOK},
		"a password in it": {func(_ *testing.T, p *patient) {
			p.set("KITE_API_URL", "KITE_API_URL=http://me:"+doctorSecret+"@127.0.0.1:1/"+doctorSecret)
		}, doctor.API, doctor.Failed, "no answer from http://127.0.0.1:1", cli.ExitError},
		"no answer":    {func(_ *testing.T, p *patient) { p.set("KITE_API_URL", "KITE_API_URL=http://127.0.0.1:1") }, doctor.API, doctor.Failed, "refused", cli.ExitError},
		"clock ahead":  {func(_ *testing.T, p *patient) { p.ahead = 10*time.Minute + 30*time.Second }, doctor.Clock, doctor.Failed, "10m[1-5][0-9]s ahead", cli.ExitError},
		"clock behind": {func(_ *testing.T, p *patient) { p.ahead = -time.Hour }, doctor.Clock, doctor.Failed, "behind", cli.ExitError},
		"no token":     {func(_ *testing.T, p *patient) { p.set("ZERODHA_ACCESS_TOKEN", "") }, doctor.Token, doctor.Failed, "kitestring login", cli.ExitLogin},
		"a dead token": {func(_ *testing.T, p *patient) { p.set("ZERODHA_API_KEY", "ZERODHA_API_KEY=another") }, doctor.Token, doctor.Failed, "refuses", cli.ExitLogin},
		"another user's recording": {func(t *testing.T, p *patient) {
			state := t.TempDir()
			p.args = []string{"--state-dir", state}
			if err := os.Mkdir(filepath.Join(state, "record"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(filepath.Join(state, "record"), 12345, 12345); err != nil {
				t.Skip("only root gives files away:", err)
			}
		}, doctor.Recording, doctor.Warned, "belongs to the user with id 12345", cli.ExitOK},
		"a file for the state": {func(t *testing.T, p *patient) {
			file := filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			p.args = []string{"--state-dir", file}
		}, doctor.Recording, doctor.Failed, "not a directory", cli.ExitError},
		"Kite has a 502": {func(_ *testing.T, p *patient) { p.status = http.StatusBadGateway }, doctor.Token, doctor.Warned, "says nothing", cli.ExitOK},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			c.disturb(t, p)
			code, report := p.examined(t)
			if code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			for _, found := range report.Checks {
				if found.Name == c.check && found.Status == c.status && regexp.MustCompile(c.says).MatchString(found.Detail+". "+found.Fix) {
					return
				}
			}
			t.Errorf("%s is not named: %+v", c.check, report.Checks)
		})
	}
}

// serve makes a kitestring listen on the patient's address, on a token, with
// its feed down.
func (p *patient) serve(t *testing.T, fingerprint string, coherent bool) {
	st := statusOf(false, messages.Valid, messages.Backoff, "The feed is down.")
	st.Token.Fingerprint, st.Token.Coherent = fingerprint, coherent
	p.addr = fakeServer(t, map[string]any{"/api/v1/status": st})
	p.set("REDIRECT_URL", "REDIRECT_URL=http://"+p.addr+"/callback")
}

func (p *patient) fingerprint() string { return messages.NewSecret(doctorToken).Fingerprint() }

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

func TestDoctorReadsTheUnit(t *testing.T) {
	other := filepath.Join(t.TempDir(), "another")
	if err := os.WriteFile(other, []byte("ZERODHA_ACCESS_TOKEN="+doctorToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shipped, err := assets.Read("systemd")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		unit, dropIn, envFile string
		status                doctor.Status
		says                  string
	}{
		{"", "", "/srv/.env", doctor.Skipped, "no kitestring.service"},
		{string(shipped), "", "/var/lib/kitestring/.env", doctor.OK, "kitestring.service"},
		{string(shipped), "", "/home/me/.env", doctor.Failed, "ProtectHome"},
		{"[Service]\nProtectHome=yes\n", "", "/var/lib/kitestring/.env", doctor.OK, "kitestring.service"},
		{"[Service]\nProtectHome=yes\n", "", "/home/me/.env", doctor.Failed, "ProtectHome"},
		{"[Service]\nProtectHome=yes\n", "[Service]\nProtectHome=no\n", "/home/me/.env", doctor.OK, "kitestring.service"},
		{"[Service]\nPrivateTmp=true\n", "", "/tmp/.env", doctor.Failed, "PrivateTmp"},
		{"[Service]\n# EnvironmentFile=/x\n", "", "/srv/.env", doctor.OK, "kitestring.service"},
		{"[Service]\nEnvironmentFile=-/srv/.env\n", "", "/srv/.env", doctor.Warned, "once at start"},
		{"[Service]\nEnvironmentFile=-/etc/default/kitestring\nEnvironmentFile=%S/kitestring/.env\n", "", "/var/lib/kitestring/.env", doctor.Warned, "EnvironmentFile=/var/lib/kitestring/.env"},
		{"[Service]\nEnvironmentFile=" + other + "\n", "", "/srv/.env", doctor.Warned, "yesterday's token"},
	} {
		dir := t.TempDir()
		if c.unit != "" {
			if err := os.WriteFile(filepath.Join(dir, "kitestring.service"), []byte(c.unit), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.dropIn != "" {
			if err := os.Mkdir(filepath.Join(dir, "kitestring.service.d"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "kitestring.service.d", "mine.conf"), []byte(c.dropIn), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		report, err := doctor.Examine(t.Context(), doctor.Config{
			EnvFile: c.envFile, Addr: "127.0.0.1:0", Profile: "auto", StateDir: dir, Getenv: func(string) string { return "" }, UnitDirs: []string{dir},
		})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(report.Checks, func(f doctor.Check) bool { return f.Name == doctor.Systemd })
		if got := report.Checks[at]; got.Status != c.status || !strings.Contains(got.Detail, c.says) {
			t.Errorf("%q %q: %+v", c.unit, c.envFile, got)
		}
	}
}

// TestDoctorSeesMounts runs again in a mount namespace of its own.
func TestDoctorSeesMounts(t *testing.T) {
	if dir := os.Getenv("KITESTRING_TEST_MOUNTS"); dir != "" {
		mountAndExamine(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDoctorSeesMounts$", "-test.v")
	cmd.Env = append(os.Environ(), "KITESTRING_TEST_MOUNTS="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil:
		t.Skipf("no private mount namespace here: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
}

func mountAndExamine(t *testing.T, dir string) {
	mount := func(source, target, kind string, flags uintptr, data string) {
		if err := unix.Mount(source, target, kind, flags, data); err != nil {
			t.Skipf("mount is not allowed here: %v", err)
		}
	}
	mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	mount("tmpfs", dir, "tmpfs", 0, "")
	for _, sub := range []string{"app", "lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	find := func(path, name string) doctor.Check {
		p := newPatient(t)
		p.dir, p.path = filepath.Dir(path), path
		_, report := p.examined(t)
		for _, c := range report.Checks {
			if c.Name == name {
				return c
			}
		}
		t.Fatalf("no check %s in %+v", name, report)
		return doctor.Check{}
	}
	host, path := filepath.Join(dir, "host"), filepath.Join(dir, "app", ".env")
	for _, name := range []string{host, path} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mount(host, path, "", unix.MS_BIND, "")
	if c := find(path, doctor.Mount); c.Status != doctor.Failed || !strings.Contains(c.Fix, "mount its directory") {
		t.Errorf("a file that is mounted by itself: %+v", c)
	}
	mount("overlay", filepath.Join(dir, "merged"), "overlay", 0, "lowerdir="+filepath.Join(dir, "lower")+",upperdir="+filepath.Join(dir, "upper")+",workdir="+filepath.Join(dir, "work"))
	if c := find(filepath.Join(dir, "merged", ".env"), doctor.Inotify); c.Status != doctor.Warned || !strings.Contains(c.Detail, "overlay") {
		t.Errorf("a file on an overlay: %+v", c)
	}
}
