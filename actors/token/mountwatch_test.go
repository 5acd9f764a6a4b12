package token

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

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
