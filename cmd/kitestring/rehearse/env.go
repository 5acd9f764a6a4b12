package rehearse

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/token/envstyles"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// tornWrites write a file so that a reader may see half of the token, which
// stands at its end.
var tornWrites = []struct {
	name  string
	write func(f *os.File, whole []byte) error
}{
	{"two halves 80 ms apart", func(f *os.File, whole []byte) error { return inTwo(f, f, whole, 16) }},
	{"the newline 80 ms late", func(f *os.File, whole []byte) error { return inTwo(f, f, whole, 1) }},
	{"truncated for 80 ms first", func(f *os.File, whole []byte) error { return inTwo(f, f, whole, len(whole)) }},
	{"two opens 80 ms apart", func(f *os.File, whole []byte) error {
		second, err := os.OpenFile(f.Name(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(inTwo(f, second, whole, 16), second.Close())
	}},
	// Only the missing end says that this is half of it: nobody has the file open.
	{"two opens with nobody there between them", func(f *os.File, whole []byte) error {
		_, err := f.Write(whole[:len(whole)-16])
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		time.Sleep(80 * time.Millisecond)
		second, err := os.OpenFile(f.Name(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = second.Write(whole[len(whole)-16:])
		return errors.Join(err, second.Close())
	}},
	// Only the open file says that this is not the last word.
	{"another word with an end, overwritten 80 ms later", func(f *os.File, whole []byte) error {
		half := append(slices.Clone(whole[:len(whole)-17]), strings.Repeat("0", 16)+"\n"...)
		_, err := f.Write(half)
		time.Sleep(80 * time.Millisecond)
		_, e := f.WriteAt(whole, 0)
		return errors.Join(err, e)
	}},
}

// inTwo writes all but the last bytes, and those 80 ms later.
func inTwo(first, second *os.File, whole []byte, last int) error {
	_, err := first.Write(whole[:len(whole)-last])
	time.Sleep(80 * time.Millisecond)
	_, e := second.Write(whole[len(whole)-last:])
	return errors.Join(err, e)
}

var _ = register(Drill{
	Name: "env-torn", Topic: EnvFile, Short: true, Setup: Setup{Sampling: simulator.SamplingIndependent},
	Inject: "a token written in two halves 80 ms apart, by two opens, after a truncation, without a newline",
	Hold:   "a half token is never announced; the whole one is",
	Steps: func(r *Rig) {
		g := r.generation()
		for _, torn := range tornWrites {
			r.step(torn.name, func() {
				whole := r.withToken(r.rotate())
				f := must(os.OpenFile(r.EnvFile, os.O_WRONLY|os.O_TRUNC, 0))
				check(torn.write(f, whole))
				_ = f.Close() // one way has closed it
				start := time.Now()
				g++
				r.adopted(g, 5*time.Second)
				r.recovery(start)
			})
		}
		// A half that had been announced would have its receipt, and would have
		// raised the generation.
		for _, rot := range r.rotations() {
			if rot.Result == "rejected" {
				failf("generation %d was refused by the exchange: a half token was announced", rot.Generation)
			}
		}
		r.note("%d ways to tear, generation %d", len(tornWrites), g)
	},
})

var _ = register(Drill{
	Name: "env-styles", Topic: EnvFile, Setup: Setup{Cold: true, ManualLogin: true},
	Inject: "a rotation in each known style of changing a file, each on a server of its own",
	Hold:   "seen once, by an event of the kernel within 1.5 s (styles that only a poll sees: 6.5 s)",
	Steps: func(r *Rig) {
		r.close() // the rig's own server is not needed
		for _, style := range envstyles.All() {
			r.step(style.Name, func() {
				took := r.rotateBy(style)
				r.recoveryOf(took)
				r.note("%s %.1f ms", style.Name, float64(took)/float64(time.Millisecond))
			})
		}
	},
})

// rotateBy changes the token of a server of its own in one style; it returns
// how long the server took to detect it.
func (r *Rig) rotateBy(style envstyles.Style) time.Duration {
	setup := Setup{}
	if style.Name == "dir-missing-at-start" {
		// Without a file the credentials are the environment's.
		setup.Cold = true
		setup.Environment = map[string]string{"KITESTRING_PROFILE": "sim", "ZERODHA_API_KEY": tree.SimAPIKey, "ZERODHA_API_SECRET": simSecret}
	}
	s := r.second(style.Name, setup, style.Prepare)
	g := s.generation() + 1
	value := s.rotate()
	before := s.still.SoFar()
	completed := must(style.Apply(s.EnvFile, value))
	limit := 1500 * time.Millisecond
	if style.Polled {
		limit = 6500 * time.Millisecond
	}
	s.adopted(g, limit+5*time.Second)
	if shown := s.token().Fingerprint; shown != fingerprint(value) {
		failf("adopted %s, written %s", shown, fingerprint(value))
	}
	if source := s.receipt(g).Source; source != messages.ChangeByEvent && !style.Polled {
		failf("noticed by %s, want by an event of the kernel", source)
	}
	detected := s.logged("token changed", fmt.Sprintf(`"generation":%d`, g))
	if len(detected) != 1 {
		failf("the log has %d lines of the change to generation %d", len(detected), g)
	}
	took := detected[0].Sub(completed)
	if took > limit+s.still.SoFar()-before {
		failf("seen after %s", took)
	}
	s.close()
	return max(took, 0)
}

var _ = register(Drill{
	Name: "env-bind-mount", Topic: EnvFile, Setup: Setup{Cold: true, ManualLogin: true},
	Inject: "the file itself is a bind mount",
	Hold:   "a login's write falls back to in-place and says so; the token is adopted",
	Steps: func(r *Rig) {
		r.close()
		s := r.second("mount", Setup{}, func(dir, content string) (string, error) {
			source, path := filepath.Join(dir, "source.env"), filepath.Join(dir, ".env")
			for _, p := range []string{source, path} {
				check(os.WriteFile(p, []byte(content), 0o600))
			}
			if err := syscall.Mount(source, path, "", syscall.MS_BIND, ""); err != nil {
				skipf("a bind mount is not allowed here: %v", err)
			}
			r.cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
			return path, nil
		})
		start := time.Now()
		s.login()
		s.adopted(2, 10*time.Second)
		r.recovery(start)
		s.within(10*time.Second, "the status names the bind mount", func() (bool, any) {
			warnings := s.token().Warnings
			return strings.Contains(strings.Join(warnings, " "), "mount"), warnings
		})
	},
})

var _ = register(Drill{
	Name: "env-shadowed", Topic: EnvFile, Short: true,
	Setup:  Setup{Environment: map[string]string{"ZERODHA_ACCESS_TOKEN": "yesterdaysTokenInTheEnvironment0"}},
	Inject: "the process environment holds an old token",
	Hold:   "the file wins, with a warning",
	Steps: func(r *Rig) {
		r.secret(r.setup.Environment["ZERODHA_ACCESS_TOKEN"])
		t, value := r.token(), r.fileToken()
		if t.Fingerprint != fingerprint(value) {
			failf("the token in use is %s, the file's is %s", t.Fingerprint, fingerprint(value))
		}
		for _, w := range t.Warnings {
			if strings.Contains(w, "environment") {
				r.note("warned: %s", w)
				return
			}
		}
		failf("no warning names the environment: %q", t.Warnings)
	},
})

var _ = register(Drill{
	Name: "env-writers", Topic: EnvFile, Setup: Setup{Sampling: simulator.SamplingIndependent},
	Inject: "5 writers rewrite other keys of the file while the token rotates ten times",
	Hold:   "no key lost, the file always parses, the server ends on the newest token",
	Steps: func(r *Rig) {
		// Writers as the command line is one: they lock, write and rename.
		var stops []func()
		for w := range 5 {
			stops = append(stops, r.meanwhile(func(r *Rig) {
				for n := 0; r.ctx.Err() == nil; n++ {
					if err := r.Server.SetKey(r.ctx, fmt.Sprintf("WRITER_%d", w), fmt.Sprint(n)); r.ctx.Err() == nil {
						check(err)
					}
				}
			}))
		}
		g, value := r.generation(), ""
		for range 10 {
			value = r.rotate()
			check(r.Server.SetKey(r.ctx, "ZERODHA_ACCESS_TOKEN", value))
			g++
			start := time.Now()
			r.adopted(g, 10*time.Second)
			r.recovery(start)
		}
		for _, stop := range stops {
			stop()
		}
		data := string(must(os.ReadFile(r.EnvFile)))
		for _, want := range []string{"ZERODHA_API_KEY=", "ZERODHA_API_SECRET=", "KITESTRING_PROFILE=", "ZERODHA_ACCESS_TOKEN=" + value, "WRITER_0=", "WRITER_4="} {
			if !strings.Contains(data, want) {
				failf("the file has lost %s", strings.SplitAfter(want, "=")[0])
			}
		}
	},
})

var _ = register(Drill{
	Name: "disk-full", Topic: EnvFile,
	Inject: "a login while the disk is full",
	Hold:   "a clear error on the page, the old token untouched",
	Steps: func(r *Rig) {
		small := filepath.Join(r.Dir, "small")
		s := r.second("full", Setup{}, func(_, content string) (string, error) {
			check(os.Mkdir(small, 0o700))
			if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
				skipf("a small file system cannot be mounted here: %v", err)
			}
			r.cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
			return plainFile(small, content)
		})
		s.unwritable("the disk is full", func() (undo func()) {
			fill := filepath.Join(small, "fill")
			_ = os.WriteFile(fill, make([]byte, 1<<20), 0o600) // until nothing more fits: the error is the point
			return func() { _ = os.Remove(fill) }
		})
	},
})

var _ = register(Drill{
	Name: "read-only", Topic: EnvFile,
	Inject: "a login while the file's directory cannot be written",
	Hold:   "a clear error on the page, the old token untouched",
	Steps: func(r *Rig) {
		r.unwritable("no permission", func() (undo func()) {
			// Permissions do not stop root; the immutable flag does.
			if os.Geteuid() != 0 {
				check(os.Chmod(r.Dir, 0o500))
				return func() { _ = os.Chmod(r.Dir, 0o700) }
			}
			if out, err := exec.Command("chattr", "+i", r.EnvFile).CombinedOutput(); err != nil {
				skipf("the file system knows no immutable files, and permissions do not stop root: %s", strings.TrimSpace(string(out)))
			}
			return func() { _ = exec.Command("chattr", "-i", r.EnvFile).Run() }
		})
	},
})

// unwritable demands that a login which cannot be written says why, and changes
// nothing.
func (r *Rig) unwritable(why string, forbid func() (undo func())) {
	before, g := must(os.ReadFile(r.EnvFile)), r.generation()
	func() {
		defer forbid()()
		r.visit(r.consent("approve").RequestURI())
	}()
	login := r.status().Login
	if login == nil || login.Result == messages.LoginOK {
		failf("the login did not fail: %+v", login)
	}
	if !strings.Contains(login.Reason, why) {
		failf("the page does not say that %s: %s", why, login.Reason)
	}
	r.note("the page says: %s", login.Reason)
	if string(must(os.ReadFile(r.EnvFile))) != string(before) {
		failf("the file was changed")
	}
	if now := r.generation(); now != g {
		failf("the generation moved from %d to %d", g, now)
	}
}
