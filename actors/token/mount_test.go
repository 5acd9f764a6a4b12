package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

// mounted runs the scene of that name in a mount namespace of its own, and
// skips where that needs a privilege that is not there.
func mounted(t *testing.T, scene string) {
	t.Helper()
	cmd := role("mount", "TOKEN_TEST_SCENE="+scene, "TOKEN_TEST_PATH="+t.TempDir())
	cmd.SysProcAttr = namespace()
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil:
		t.Skipf("no private mount namespace here: %v", err)
	case cmd.ProcessState.ExitCode() == exitSkip:
		t.Skip(string(out))
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	default:
		t.Log(strings.TrimSpace(string(out)))
	}
}

// namespace asks for mounts of one's own: as root, or as root of a user
// namespace of one's own.
func namespace() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

const exitSkip = 77

func TestSingleFileMount(t *testing.T) { mounted(t, "bind") }
func TestReadOnlyMount(t *testing.T)   { mounted(t, "read-only") }
func TestFullDisk(t *testing.T)        { mounted(t, "full") }

// mountProcess plays one scene; what it finds wrong goes to stdout.
func mountProcess() int {
	dir := os.Getenv("TOKEN_TEST_PATH")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Println("no private mounts here:", err)
		return exitSkip
	}
	scene := map[string]func(dir string) error{"bind": bindScene, "read-only": readOnlyScene, "full": fullScene}[os.Getenv("TOKEN_TEST_SCENE")]
	err := scene(dir)
	var skip skipped
	switch {
	case errors.As(err, &skip):
		fmt.Println(err)
		return exitSkip
	case err != nil:
		fmt.Println(err)
		return 1
	}
	return 0
}

// skipped says that a mount was not allowed.
type skipped struct{ error }

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return skipped{fmt.Errorf("mount is not allowed here: %w", err)}
	}
	return nil
}

// bindScene mounts the file alone, as docker -v ./env:/app/.env does.
func bindScene(dir string) error {
	host, path := filepath.Join(dir, "host"), filepath.Join(dir, ".env")
	token := newToken()
	if err := errors.Join(os.WriteFile(host, fmt.Appendf(nil, fileText, token), 0o600), os.WriteFile(path, nil, 0o600)); err != nil {
		return err
	}
	if err := mount(host, path, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	defer unix.Unmount(path, unix.MNT_DETACH)
	if err := os.Rename(host, path); !errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("a rename onto the mount gives %v, expected EBUSY", err)
	}
	var log strings.Builder
	s, err := Open(StoreConfig{Path: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		return err
	}
	for _, value := range []string{newToken(), "short", newToken() + newToken()} { // the file grows and shrinks
		if err := s.Set(context.Background(), KeyAccessToken, value); err != nil {
			return err
		}
		inside, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		outside, err := os.ReadFile(host)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf(fileText, value); string(inside) != want || string(outside) != want {
			return fmt.Errorf("inside %q, outside %q, want %q", inside, outside, want)
		}
	}
	if !strings.Contains(log.String(), "written in place") {
		return errors.New("the log does not say that the file was written in place")
	}
	r, _ := readOnce(path, lease)
	_, f := judge(path, &r, os.Getenv, true, false)
	if w := strings.Join(f.warnings, "\n"); !strings.Contains(w, "mounted by itself") {
		return fmt.Errorf("warnings do not name the mount: %q", w)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 { // host, .env, .env.lock
		return fmt.Errorf("in the directory: %v %v", entries, err)
	}
	// The whole directory read-only, the file mounted writable: as containers have it.
	if err := errors.Join(mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""), mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")); err != nil {
		return err
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := os.Remove(filepath.Join(dir, ".env.lock")); !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the directory is not read-only: %v", err)
	}
	if err := s.Set(context.Background(), KeyAccessToken, token); err != nil {
		return fmt.Errorf("read-only directory, writable file: %w", err)
	}
	fmt.Println("written in place, inside and outside agree, also under a read-only directory")
	return nil
}

func readOnlyScene(dir string) error {
	path := filepath.Join(dir, ".env")
	text := fmt.Sprintf(fileText, newToken())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if err := errors.Join(mount(dir, dir, "", unix.MS_BIND, ""), mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")); err != nil {
		return err
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	return refusedWrite(path, text, syscall.EROFS, "read-only")
}

func fullScene(dir string) error {
	if err := mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		return err
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	path := filepath.Join(dir, ".env")
	text := fmt.Sprintf(fileText, newToken())
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.WriteFile(path+".lock", nil, 0o600)); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		return err
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	if err := refusedWrite(path, text, syscall.ENOSPC, "is full"); err != nil {
		return err
	}
	// In place, the room for the longer text is claimed before a byte is changed.
	if err := overwrite(path, []byte(strings.Repeat("# longer\n", 4096))); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("overwriting on a full disk: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != text {
		return fmt.Errorf("half is written: %d bytes, %v", len(now), err)
	}
	return nil
}

func refusedWrite(path, text string, is error, words string) error {
	s, err := Open(StoreConfig{Path: path, Log: quiet()})
	if err != nil {
		return err
	}
	err = s.Set(context.Background(), KeyAccessToken, newToken())
	if !errors.Is(err, is) || !strings.Contains(err.Error(), words) {
		return fmt.Errorf("error is %v, want %v with %q", err, is, words)
	}
	fmt.Println(err)
	now, err := os.ReadFile(path)
	if err != nil || string(now) != text {
		return fmt.Errorf("the old file has changed: %q %v", now, err)
	}
	tmps, err := filepath.Glob(path + ".tmp-*")
	if err != nil || len(tmps) > 0 {
		return fmt.Errorf("left behind: %v %v", tmps, err)
	}
	return nil
}

// inNamespace runs the test again in a mount namespace of its own; true: this
// is that second run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("TOKEN_TEST_NAMESPACE") == t.Name() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Skipf("no private mounts here: %v", err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "TOKEN_TEST_NAMESPACE="+t.Name())
	cmd.SysProcAttr = namespace()
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil:
		t.Skipf("no private mount namespace here: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	default:
		t.Logf("%s", out)
	}
	return false
}

func mountOrSkip(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := mount(source, target, kind, flags, data); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// TestWatchOverlay: through the merged directory changes are reported; below
// it the poll has to find them, and polls faster for that.
func TestWatchOverlay(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	mountOrSkip(t, "tmpfs", dir, "tmpfs", 0, "")
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(at("lower"), 0o700), os.Mkdir(at("upper"), 0o700), os.Mkdir(at("work"), 0o700), os.Mkdir(at("merged"), 0o700)); err != nil {
		t.Fatal(err)
	}
	token := newToken()
	put(t, at("lower/.env"), fmt.Sprintf(fileText, token), 0o600)
	mountOrSkip(t, "overlay", at("merged"), "overlay", 0, "lowerdir="+at("lower")+",upperdir="+at("upper")+",workdir="+at("work"))
	path := at("merged/.env")
	h, _ := watch(t, path)
	await(t, h, token)

	token = newToken()
	put(t, at("lower/.env"), fmt.Sprintf(fileText, token), 0o600)
	m := await(t, h, token)
	t.Logf("below: seen by %s after %v", m.Source, m.DetectedAt.Sub(m.ChangedAt))
	if m.Source != messages.ChangeByPoll {
		t.Errorf("below: seen by %s, want poll", m.Source)
	}
	for range 5 {
		token = newToken()
		move(t, path, fmt.Sprintf(fileText, token))
		m = await(t, h, token)
	}
	t.Logf("through: seen by %s after %v", m.Source, m.DetectedAt.Sub(m.ChangedAt))
}

// TestWatchSingleFileMount: what the host writes in place is seen; that its
// renames cannot be seen is warned about.
func TestWatchSingleFileMount(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "app"), 0o700); err != nil {
		t.Fatal(err)
	}
	host, path := filepath.Join(dir, "host"), filepath.Join(dir, "app", ".env")
	token := newToken()
	put(t, host, fmt.Sprintf(fileText, token), 0o600)
	put(t, path, "", 0o600)
	mountOrSkip(t, host, path, "", unix.MS_BIND, "")
	h, s := watch(t, path)
	await(t, h, token)
	actorstest.Await(h, func(m messages.EnvAccepted) bool {
		return strings.Contains(strings.Join(m.Warnings, "\n"), "mounted by itself")
	})
	for range 5 {
		token = newToken()
		put(t, host, fmt.Sprintf(fileText, token), 0o600)
		m := await(t, h, token)
		t.Logf("host writes in place: seen by %s after %v", m.Source, m.DetectedAt.Sub(m.ChangedAt))
	}
	token = newToken()
	if err := s.SetToken(t.Context(), messages.NewAccessToken(token)); err != nil {
		t.Fatal(err)
	}
	if m := await(t, h, token); m.Source != messages.ChangeByLogin || get(t, host) != fmt.Sprintf(fileText, token) {
		t.Errorf("our own write: %+v", m)
	}
	// The host replaces its file: the mount goes on showing the old one, and
	// must not be taken for gone.
	move(t, host, fmt.Sprintf(fileText, newToken()))
	put(t, path, fmt.Sprintf(fileText, token), 0o600)
	last := newToken()
	put(t, path, fmt.Sprintf(fileText, last), 0o600)
	await(t, h, last)
}
