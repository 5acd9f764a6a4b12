package drills

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/token/envstyles"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

var envDrills = []Drill{
	{
		Name: "env-torn", Short: true,
		Inject: "a token written in two halves 80 ms apart, by two opens, after a truncation, without a newline",
		Hold:   "a half token is never announced; the whole one is",
		run:    envTorn,
	},
	{
		Name: "env-styles", Setup: Setup{Cold: true, ManualLogin: true},
		Inject: "a rotation in each known style of changing a file, each on a server of its own",
		Hold:   "seen once, within 1.5 s (styles that only a poll sees: 6.5 s)",
		run:    envStyles,
	},
	{
		Name: "env-shadowed", Short: true,
		Setup:  Setup{Environment: map[string]string{"ZERODHA_ACCESS_TOKEN": "yesterdaysTokenInTheEnvironment0"}},
		Inject: "the process environment holds an old token",
		Hold:   "the file wins, with a warning",
		run:    envShadowed,
	},
	{
		Name:   "env-writers",
		Inject: "5 writers rewrite other keys of the file while the token rotates ten times",
		Hold:   "no key lost, the file always parses, the server ends on the newest token",
		run:    envWriters,
	},
	{
		Name: "env-bind-mount", Setup: Setup{Cold: true, ManualLogin: true},
		Inject: "the file itself is a bind mount",
		Hold:   "a login's write falls back to in-place and says so; the token is adopted",
		run:    envBindMount,
	},
	{
		Name: "yesterdays-token", Short: true, Setup: Setup{Cold: true, ManualLogin: true, Prepare: withDeadToken},
		Inject: "a start with a dead token in the file",
		Hold:   "one upgrade, at most two profile calls, then no dial until a new token; live within 10 s of it",
		run:    yesterdaysToken,
	},
	{
		Name: "read-only", Setup: Setup{ManualLogin: false},
		Inject: "a login while the file's directory cannot be written",
		Hold:   "a clear error on the page, the old token untouched",
		run:    func(ctx context.Context, r *Rig) error { return unwritable(ctx, r, makeReadOnly) },
	},
	{
		Name:   "disk-full",
		Inject: "a login while the disk is full",
		Hold:   "a clear error on the page, the old token untouched",
		run:    diskFull,
	},
	{
		Name: "latched-client", Short: true,
		Inject: "a rotation; then every REST user makes a call",
		Hold:   "every call carries the new token",
		run:    latchedClient,
	},
}

// envTorn watches the generations while the file is torn on purpose.
func envTorn(ctx context.Context, r *Rig) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	for _, tear := range []struct {
		name  string
		write func(f *os.File, whole []byte) error
	}{
		{"two halves 80 ms apart", func(f *os.File, whole []byte) error {
			if _, err := f.Write(whole[:len(whole)-16]); err != nil {
				return err
			}
			time.Sleep(80 * time.Millisecond)
			_, err := f.Write(whole[len(whole)-16:])
			return err
		}},
		{"two opens 80 ms apart", func(f *os.File, whole []byte) error {
			if _, err := f.Write(whole[:len(whole)-16]); err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
			time.Sleep(80 * time.Millisecond)
			again, err := os.OpenFile(r.EnvFile, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = again.Write(whole[len(whole)-16:])
			return errors.Join(err, again.Close())
		}},
		{"truncated for 80 ms first", func(f *os.File, whole []byte) error {
			time.Sleep(80 * time.Millisecond)
			_, err := f.Write(whole)
			return err
		}},
		{"the newline 80 ms late", func(f *os.File, whole []byte) error {
			if _, err := f.Write(whole[:len(whole)-1]); err != nil {
				return err
			}
			time.Sleep(80 * time.Millisecond)
			_, err := f.Write(whole[len(whole)-1:])
			return err
		}},
	} {
		value, err := r.rotate()
		if err != nil {
			return err
		}
		whole, err := r.withToken(value)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(r.EnvFile, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			return err
		}
		err = tear.write(f, whole)
		if e := f.Close(); e != nil && !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, e)
		}
		if err != nil {
			return err
		}
		start := time.Now()
		g++
		if err := r.adopted(ctx, g, 5*time.Second); err != nil {
			return fmt.Errorf("%s: %w", tear.name, err)
		}
		r.recovery(time.Since(start))
	}
	// A half that had been announced would have its receipt, and would have
	// pushed the numbers on.
	var rotations []messages.Rotation
	if err := r.get("/api/v1/rotations", &rotations); err != nil {
		return err
	}
	for _, rot := range rotations {
		if rot.Result == "rejected" {
			return fmt.Errorf("generation %d was refused by the exchange: a half token was announced", rot.Generation)
		}
	}
	r.note("4 ways to tear, generation %d", g)
	return nil
}

// simFile is a simulator's .env with a token that the exchange will accept:
// tokens certify themselves, so one exchange's are another's until the next day;
// start is of its clock, zero for the latest trading day.
func simFile(addr string, start time.Time) (content, value string, err error) {
	if start.IsZero() {
		start = time.Now().Add(24 * time.Hour) // midnight may pass before the server starts; a token of tomorrow works today, too
	}
	ex, err := simulator.New(simulator.Config{APIKey: tree.SimAPIKey, APISecret: messages.NewSecret(simSecret), Start: start})
	if err != nil {
		return "", "", err
	}
	t, err := ex.IssueToken()
	if err != nil {
		return "", "", err
	}
	return fmt.Sprintf("# a simulator's file\nKITESTRING_PROFILE=sim\nZERODHA_API_KEY=%s\nZERODHA_API_SECRET=%s\nREDIRECT_URL=http://%s/callback\nZERODHA_ACCESS_TOKEN=%s\n",
		tree.SimAPIKey, simSecret, addr, t.Reveal()), t.Reveal(), nil
}

// freeAddr is a loopback address that nobody uses at the moment.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// plainFile is a file like any other.
func plainFile(dir, content string) (string, error) {
	path := filepath.Join(dir, ".env")
	return path, writeFile(path, content)
}

// beside is a second server with a file that prepare lays out.
func (r *Rig) beside(ctx context.Context, name string, setup Setup, prepare func(dir, content string) (string, error)) (*Rig, error) {
	dir := filepath.Join(r.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	if setup.Environment != nil {
		setup.Environment["REDIRECT_URL"] = "http://" + addr + "/callback"
	}
	content, value, err := simFile(addr, setup.Start)
	if err != nil {
		return nil, err
	}
	setup.Cold, setup.ManualLogin = true, true
	setup.Prepare = func(s *Rig) error {
		s.secrets = append(s.secrets, value)
		s.config.Addr = addr
		path, err := prepare(dir, content)
		s.EnvFile, s.config.EnvFile, s.config.StateDir = path, path, filepath.Join(dir, "state")
		return err
	}
	return open(ctx, setup, dir, r.options, r.still)
}

func envStyles(ctx context.Context, r *Rig) error {
	if err := r.close(); err != nil { // the rig's own server is not needed
		return err
	}
	for _, style := range envstyles.All() {
		took, err := r.rotateBy(ctx, style)
		if err != nil {
			return fmt.Errorf("%s: %w", style.Name, err)
		}
		r.recovery(took)
		r.note("%s %.1f ms", style.Name, float64(took)/float64(time.Millisecond))
	}
	return nil
}

// rotateBy changes the token of a server of its own in one style.
func (r *Rig) rotateBy(ctx context.Context, style envstyles.Style) (took time.Duration, err error) {
	missing := style.Name == "dir-missing-at-start"
	var environment map[string]string
	if missing {
		// Without a file the credentials are the environment's.
		environment = map[string]string{"KITESTRING_PROFILE": "sim", "ZERODHA_API_KEY": tree.SimAPIKey, "ZERODHA_API_SECRET": simSecret}
	}
	s, err := r.beside(ctx, style.Name, Setup{Environment: environment}, style.Prepare)
	if s != nil {
		defer func() { err = errors.Join(err, s.close(), s.leavings()) }()
	}
	if err != nil {
		return 0, err
	}
	var g messages.Generation
	if !missing {
		if err := s.live(ctx); err != nil {
			return 0, err
		}
		if g, err = s.generation(); err != nil {
			return 0, err
		}
	}
	value, err := s.rotate()
	if err != nil {
		return 0, err
	}
	before := s.still.SoFar()
	completed, err := style.Apply(s.EnvFile, value)
	if err != nil {
		return 0, err
	}
	limit := 1500 * time.Millisecond
	if style.Polled {
		limit = 6500 * time.Millisecond
	}
	if err := s.adopted(ctx, g+1, limit+5*time.Second); err != nil {
		return 0, err
	}
	var t api.Token
	if err := s.get("/api/v1/token", &t); err != nil {
		return 0, err
	}
	if t.Fingerprint != fingerprint(value) {
		return 0, fmt.Errorf("adopted %s, written %s", t.Fingerprint, fingerprint(value))
	}
	detected, ok := s.loggedAt("token changed", fmt.Sprintf(`"generation":%d`, g+1))
	if !ok {
		return 0, fmt.Errorf("the log has no line of the change to generation %d", g+1)
	}
	took = detected.Sub(completed)
	if took > limit+s.still.SoFar()-before {
		return took, fmt.Errorf("seen after %s", took)
	}
	return max(took, 0), nil
}

func envShadowed(ctx context.Context, r *Rig) error {
	var t api.Token
	if err := r.get("/api/v1/token", &t); err != nil {
		return err
	}
	value, err := r.fileToken()
	if err != nil {
		return err
	}
	r.secrets = append(r.secrets, r.setup.Environment["ZERODHA_ACCESS_TOKEN"])
	if t.Fingerprint != fingerprint(value) {
		return fmt.Errorf("the token in use is %s, the file's is %s", t.Fingerprint, fingerprint(value))
	}
	for _, w := range t.Warnings {
		if strings.Contains(w, "environment") {
			r.note("warned: %s", w)
			return nil
		}
	}
	return fmt.Errorf("no warning names the environment: %q", t.Warnings)
}

// envWriters lets five writers of our own kind (the command line's: locked,
// renamed) work beside rotations.
func envWriters(ctx context.Context, r *Rig) error {
	stop := make(chan struct{})
	var writers sync.WaitGroup
	errs := make(chan error, 5)
	for w := range 5 {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := r.House.SetKey(ctx, fmt.Sprintf("WRITER_%d", w), fmt.Sprint(n)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	g, err := r.generation()
	var value string
	for range 10 {
		if err != nil {
			break
		}
		if value, err = r.rotate(); err != nil {
			break
		}
		if err = r.House.SetKey(ctx, "ZERODHA_ACCESS_TOKEN", value); err != nil {
			break
		}
		g++
		start := time.Now()
		err = r.adopted(ctx, g, 10*time.Second)
		r.recovery(time.Since(start))
	}
	close(stop)
	writers.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	if err != nil {
		return err
	}
	data, err := os.ReadFile(r.EnvFile)
	if err != nil {
		return err
	}
	for _, want := range []string{"ZERODHA_API_KEY=", "ZERODHA_API_SECRET=", "KITESTRING_PROFILE=", "ZERODHA_ACCESS_TOKEN=" + value, "WRITER_0=", "WRITER_4="} {
		if !strings.Contains(string(data), want) {
			return fmt.Errorf("the file has lost %s", strings.SplitAfter(want, "=")[0])
		}
	}
	return nil
}

func envBindMount(ctx context.Context, r *Rig) error {
	if err := r.close(); err != nil {
		return err
	}
	var mounted string
	s, err := r.beside(ctx, "mount", Setup{}, func(dir, content string) (string, error) {
		source, path := filepath.Join(dir, "source.env"), filepath.Join(dir, ".env")
		for _, p := range []string{source, path} {
			if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
				return path, err
			}
		}
		if err := syscall.Mount(source, path, "", syscall.MS_BIND, ""); err != nil {
			return path, skip("a bind mount is not allowed here: %v", err)
		}
		mounted = path
		return path, nil
	})
	defer func() {
		if mounted != "" {
			_ = syscall.Unmount(mounted, syscall.MNT_DETACH)
		}
	}()
	if err == nil {
		err = func() error {
			if err := s.live(ctx); err != nil {
				return err
			}
			start := time.Now()
			if err := s.login(ctx); err != nil {
				return err
			}
			if err := s.adopted(ctx, 2, 10*time.Second); err != nil {
				return err
			}
			r.recovery(time.Since(start))
			return s.within(ctx, 10*time.Second, "the status names the bind mount", func() (bool, string) {
				var t api.Token
				if err := s.get("/api/v1/token", &t); err != nil {
					return false, err.Error()
				}
				return strings.Contains(strings.Join(t.Warnings, " "), "mount"), fmt.Sprint(t.Warnings)
			})
		}()
	}
	if s != nil {
		err = errors.Join(err, s.close(), s.leavings())
	}
	return err
}

// withDeadToken makes the rig start with a token that was rotated away.
func withDeadToken(r *Rig) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	r.config.Addr = addr
	content, value, err := simFile(addr, time.Time{})
	if err != nil {
		return err
	}
	r.secrets = append(r.secrets, value)
	dead := strings.Replace(content, value, strings.Repeat("D", 32), 1)
	return os.WriteFile(r.EnvFile, []byte(dead), 0o600)
}

func yesterdaysToken(ctx context.Context, r *Rig) error {
	err := r.within(ctx, 10*time.Second, "the dead token is rejected", func() (bool, string) {
		var t api.Token
		if err := r.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		return t.Candidate != nil && t.Candidate.State == messages.Rejected && t.Generation == 0, fmt.Sprintf("%+v", t)
	})
	if err != nil {
		return err
	}
	var st simulator.State
	err = r.during(ctx, 3*time.Second, "at most one dial and two profile calls", func() (bool, string) {
		st = simulator.State{}
		if err := r.sim(http.MethodGet, "/state", nil, &st); err != nil {
			return false, err.Error()
		}
		dials, asked := dials(st), st.Requests.Refused["token"]
		return dials <= 1 && asked <= 2, fmt.Sprintf("%d dials, refused requests %v", dials, st.Requests.Refused)
	})
	if err != nil {
		return err
	}
	r.note("%d dials; refused: %v", dials(st), st.Requests.Refused)
	start := time.Now()
	if err := r.login(ctx); err != nil {
		return err
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	return nil
}

// dials counts upgrades, whatever was answered.
func dials(st simulator.State) int64 {
	n := st.Upgrades.Accepted
	for _, refused := range st.Upgrades.Refused {
		n += refused
	}
	return n
}

// makeReadOnly forbids writing into the file's directory, if it can.
func makeReadOnly(r *Rig) (undo func(), err error) {
	// For root permissions are no barrier; the immutable flag is.
	if os.Geteuid() != 0 {
		if err := os.Chmod(r.Dir, 0o500); err != nil {
			return nil, err
		}
		return func() { _ = os.Chmod(r.Dir, 0o700) }, nil
	}
	if out, err := exec.Command("chattr", "+i", r.EnvFile).CombinedOutput(); err != nil {
		return nil, skip("the file system knows no immutable files, and permissions do not stop root: %s", strings.TrimSpace(string(out)))
	}
	return func() { _ = exec.Command("chattr", "-i", r.EnvFile).Run() }, nil
}

// unwritable demands that a login which cannot be written says so and changes
// nothing.
func unwritable(ctx context.Context, r *Rig, forbid func(*Rig) (func(), error)) error {
	before, err := os.ReadFile(r.EnvFile)
	if err != nil {
		return err
	}
	g, err := r.generation()
	if err != nil {
		return err
	}
	undo, err := forbid(r)
	if err != nil {
		return err
	}
	back, err := r.consent(ctx, "approve")
	if err == nil {
		_, _, err = r.visit(ctx, back.RequestURI())
	}
	undo()
	if err != nil {
		return err
	}
	var st api.Status
	if err := r.get("/api/v1/status", &st); err != nil {
		return err
	}
	if st.Login == nil || st.Login.Result == messages.LoginOK {
		return fmt.Errorf("the login did not fail: %+v", st.Login)
	}
	r.note("said: %s", st.Login.Reason)
	after, err := os.ReadFile(r.EnvFile)
	if err != nil {
		return err
	}
	if string(after) != string(before) {
		return errors.New("the file was changed")
	}
	if now, err := r.generation(); err != nil || now != g {
		return fmt.Errorf("the generation moved from %d to %d (%v)", g, now, err)
	}
	return nil
}

// diskFull runs a server whose file lies on a file system that is full.
func diskFull(ctx context.Context, r *Rig) error {
	var mounted string
	defer func() {
		if mounted != "" {
			_ = syscall.Unmount(mounted, syscall.MNT_DETACH)
		}
	}()
	s, err := r.beside(ctx, "full", Setup{}, func(dir, content string) (string, error) {
		small := filepath.Join(dir, "small")
		if err := os.Mkdir(small, 0o700); err != nil {
			return "", err
		}
		if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
			return "", skip("a small file system cannot be mounted here: %v", err)
		}
		mounted = small
		path := filepath.Join(small, ".env")
		return path, os.WriteFile(path, []byte(content), 0o600)
	})
	if err == nil {
		if err = s.live(ctx); err == nil {
			err = unwritable(ctx, s, func(s *Rig) (func(), error) {
				fill := filepath.Join(mounted, "fill")
				// Written until nothing more fits; the error is the point.
				_ = os.WriteFile(fill, make([]byte, 1<<20), 0o600)
				return func() { _ = os.Remove(fill) }, nil
			})
			r.detail = s.detail
		}
	}
	if s != nil {
		err = errors.Join(err, s.close(), s.leavings())
	}
	return err
}

// latchedClient asks every REST user for a call after a rotation; the exchange
// would refuse the dead token.
func latchedClient(ctx context.Context, r *Rig) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	value, err := r.rotate()
	if err != nil {
		return err
	}
	if err := r.byRename(value); err != nil {
		return err
	}
	start := time.Now()
	if err := r.adopted(ctx, g+1, 5*time.Second); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	var st simulator.State
	if err := r.sim(http.MethodGet, "/state", nil, &st); err != nil {
		return err
	}
	refused := st.Requests.Refused["token"]
	for _, name := range []string{"instruments", "bars", "direct"} {
		if err := r.post("/api/v1/actors/"+name+"/restart", nil); err != nil {
			return err
		}
	}
	if err := r.post("/api/v1/token/validate", nil); err != nil {
		return err
	}
	err = r.within(ctx, 10*time.Second, "every REST user has worked with the new token", func() (bool, string) {
		var t api.Token
		if err := r.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		seen := map[string]messages.Generation{}
		for _, h := range t.Holders {
			seen[h.Actor] = h.Generation
		}
		return seen["instruments"] == g+1 && seen["bars"] == g+1 && seen["direct"] == g+1 && seen["auth"] == g+1, fmt.Sprint(seen)
	})
	if err != nil {
		return err
	}
	if err := r.sim(http.MethodGet, "/state", nil, &st); err != nil {
		return err
	}
	if now := st.Requests.Refused["token"]; now != refused {
		return fmt.Errorf("%d requests with the dead token after the rotation", now-refused)
	}
	return nil
}
