package token

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/actorstest"
	"kitestring/actors/token/dotenv"
	"kitestring/messages"
)

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(StoreConfig{Path: path, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// strays lists what stands beside the file and its lock.
func strays(t testing.TB, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != filepath.Base(path) && e.Name() != filepath.Base(path)+".lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestSetKeepsTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, "# head\r\nexport OTHER='x' # why\r\nK=old\r\n", 0o640)
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1234, 2345); err != nil {
			t.Fatal(err)
		}
	}
	_ = unix.Setxattr(path, "user.kitestring", []byte("mark"), 0) // where the file system can
	s := openStore(t, path)
	if err := s.Set(context.Background(), "K", "new"); err != nil {
		t.Fatal(err)
	}
	if got, want := get(t, path), "# head\r\nexport OTHER='x' # why\r\nK=new\r\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode is %o, want 640", info.Mode().Perm())
	}
	if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != 1234 || st.Gid != 2345) {
		t.Errorf("owner is %d:%d, want 1234:2345", st.Uid, st.Gid)
	}
	mark := make([]byte, 16)
	if n, err := unix.Getxattr(path, "user.kitestring", mark); err == nil && string(mark[:n]) != "mark" || errors.Is(err, unix.ENODATA) {
		t.Errorf("the attribute is %q (%v), want mark", mark[:max(n, 0)], err)
	}
	if left := strays(t, path); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if v, _ := s.Value("K"); v != "new" {
		t.Errorf("the store reads %q, want new", v)
	}
}

func TestSetMakesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	s := openStore(t, path)
	if err := s.Set(context.Background(), "K", "v"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || get(t, path) != "K=v\n" {
		t.Errorf("mode %v, error %v, text %q", info.Mode(), err, get(t, path))
	}
}

func TestSetFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "a", "b", "real")
	put(t, target, "K=old\n", 0o600)
	link, second := filepath.Join(dir, ".env"), filepath.Join(dir, "a", "second")
	if err := errors.Join(os.Symlink("a/second", link), os.Symlink("b/real", second)); err != nil {
		t.Fatal(err)
	}
	if err := openStore(t, link).Set(context.Background(), "K", "new"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, target); got != "K=new\n" {
		t.Errorf("the target is %q", got)
	}
	for _, l := range []string{link, second} {
		if info, err := os.Lstat(l); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s is no link any more (%v)", l, err)
		}
	}

	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink("a/none", dangling); err != nil {
		t.Fatal(err)
	}
	if err := openStore(t, dangling).Set(context.Background(), "K", "v"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, filepath.Join(dir, "a", "none")); got != "K=v\n" {
		t.Errorf("the file behind the dangling link is %q", got)
	}
}

func TestSetErrors(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	t.Run("directory missing", func(t *testing.T) {
		err := openStore(t, filepath.Join(dir, "none", ".env")).Set(ctx, "K", "v")
		wantError(t, err, fs.ErrNotExist, "does not exist: create it")
	})
	t.Run("a directory in its place", func(t *testing.T) {
		path := filepath.Join(dir, "isdir")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		wantError(t, openStore(t, path).Set(ctx, "K", "v"), errIsDir, "it is a directory")
	})
	t.Run("a pipe in its place", func(t *testing.T) {
		path := filepath.Join(dir, "pipe")
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Skipf("no pipes here: %v", err)
		}
		wantError(t, openStore(t, path).Set(ctx, "K", "v"), errNotRegular, "regular file")
	})
	t.Run("kubernetes", func(t *testing.T) {
		path := filepath.Join(dir, "secret")
		if err := os.Symlink("..data/secret", path); err != nil {
			t.Fatal(err)
		}
		wantError(t, openStore(t, path).Set(ctx, "K", "v"), errPublished, "change the Secret")
	})
	t.Run("lock held", func(t *testing.T) {
		path := filepath.Join(dir, "locked")
		put(t, path, "K=old\n", 0o600)
		unlock, err := lock(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		wantError(t, openStore(t, path).Set(short, "K", "v"), context.DeadlineExceeded, "another writer holds it")
	})
	t.Run("bad token", func(t *testing.T) {
		s := openStore(t, filepath.Join(dir, "token"))
		for _, bad := range []string{"", "two words", "line\nbreak", "https://kite.zerodha.com/?request_token=x"} {
			if err := s.SetToken(ctx, messages.NewAccessToken(bad)); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
				t.Errorf("%q: error is %v", bad, err)
			}
		}
	})
}

func wantError(t *testing.T, err, is error, words string) {
	t.Helper()
	if !errors.Is(err, is) || !strings.Contains(err.Error(), words) {
		t.Errorf("error is %v, want %v with %q", err, is, words)
	}
}

// TestOvertaken: a foreign writer, which knows no lock, comes between reading
// and replacing; its key and ours both survive.
func TestOvertaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, "A=1\nK=old\n", 0o600)
	old, info, err := readWhole(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, "A=2\nK=old\n", 0o600)
	if _, err := replace(path, old, []byte("A=1\nK=new\n"), info); !errors.Is(err, errOvertaken) {
		t.Errorf("replacing a changed file: %v, want overtaken", err)
	}
	if got := get(t, path); got != "A=2\nK=old\n" {
		t.Errorf("the foreign write is lost: %q", got)
	}
	if left := strays(t, path); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestUndone: a foreign writer that had read before us replaces the file after
// us; the key is set again. A value of its own is a newer will, and stays.
func TestUndone(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, "A=1\nK=old\n", 0o600)
	undo := 2
	written, _, err := setKey(t.Context(), path, "K", "new", func() {
		if undo--; undo >= 0 {
			put(t, path, "A=2\nK=old\n", 0o600)
		}
	})
	if got := get(t, path); err != nil || got != "A=2\nK=new\n" || string(written.Bytes()) != got {
		t.Errorf("%v: %q", err, got)
	}
	if _, _, err := setKey(t.Context(), path, "K", "newer", func() { put(t, path, "K=theirs\n", 0o600) }); err != nil || get(t, path) != "K=theirs\n" {
		t.Errorf("%v: %q", err, get(t, path))
	}
	put(t, path, "K=old\n", 0o600)
	if _, _, err := setKey(t.Context(), path, "K", "new", func() { put(t, path, "K=old\n", 0o600) }); !errors.Is(err, ErrContended) {
		t.Errorf("undone without end: %v", err)
	}
}

func TestStaleTempsAreSwept(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, "K=v\n", 0o600)
	put(t, path+".tmp-123-456", "half", 0o600)
	put(t, path+".tmpl", "the user's", 0o600)
	unlock, err := lock(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	openStore(t, path)
	if got := strays(t, path); len(got) != 2 {
		t.Errorf("while a writer is at work: %v, want both files kept", got)
	}
	unlock()
	openStore(t, path)
	if got := strays(t, path); len(got) != 1 || got[0] != ".env.tmpl" {
		t.Errorf("after the sweep: %v, want .env.tmpl", got)
	}
}

// writerProcess sets its own key to 1, 2, 3, ... and says so on stdout after
// each; it goes on behind what the file already holds. Killed at any moment,
// the file must hold at least what it last said.
func writerProcess() int {
	path, key := os.Getenv("TOKEN_TEST_PATH"), os.Getenv("TOKEN_TEST_KEY")
	last, _ := strconv.Atoi(os.Getenv("TOKEN_TEST_LAST"))
	s, err := Open(StoreConfig{Path: path, Log: quiet()})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	value, _ := s.Value(key)
	n, _ := strconv.Atoi(value)
	for n++; n <= last; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := s.Set(ctx, key, strconv.Itoa(n))
		cancel()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(n)
	}
	return 0
}

// TestWriters: ten processes write 300 updates each into one file and are
// killed at random moments: the file always parses, and no key falls behind
// what its writer got as written.
func TestWriters(t *testing.T) {
	writers, updates := 10, 300
	if testing.Short() || actorstest.Race {
		writers, updates = 4, 40
	}
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, fmt.Sprintf(fileText, newToken()), 0o600)
	want := dotenv.Parse([]byte(get(t, path))).Values()
	done := make(chan struct{})
	var reading, writing sync.WaitGroup
	looks := 0
	reading.Go(func() {
		for {
			text, _, err := readWhole(path)
			e := dotenv.Parse(text)
			if err != nil || len(e.Faults()) > 0 || len(e.Values()) < len(want) {
				t.Errorf("a reader found an unusable file: %v %v", err, e.Faults())
				return
			}
			looks++
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	var killed atomic.Int64
	started := time.Now()
	for w := range writers {
		key := fmt.Sprintf("WRITER_%d", w)
		writing.Go(func() {
			said := 0
			for said < updates {
				cmd := role("write", "TOKEN_TEST_PATH="+path, "TOKEN_TEST_KEY="+key, "TOKEN_TEST_LAST="+strconv.Itoa(updates))
				out, err := cmd.StdoutPipe()
				if err != nil || cmd.Start() != nil {
					t.Error("cannot start a writer", err)
					return
				}
				var timer *time.Timer
				if rand.IntN(3) > 0 { // two of three are killed
					timer = time.AfterFunc(time.Duration(20+rand.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
				}
				for lines := bufio.NewScanner(out); lines.Scan(); {
					n, err := strconv.Atoi(lines.Text())
					if err != nil {
						t.Errorf("%s: %s", key, lines.Text())
						_ = cmd.Process.Kill()
						return
					}
					said = n
				}
				if err := cmd.Wait(); err != nil {
					killed.Add(1)
				}
				if timer != nil {
					timer.Stop()
				}
				value, _ := dotenv.Parse([]byte(get(t, path))).Lookup(key)
				if n, _ := strconv.Atoi(value); n < said {
					t.Errorf("%s: the file has %d, written was %d", key, n, said)
					return
				} else if n == updates {
					return
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	final := dotenv.Parse([]byte(get(t, path)))
	for w := range writers {
		want[fmt.Sprintf("WRITER_%d", w)] = strconv.Itoa(updates)
	}
	got := final.Values()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
	openStore(t, path)
	if left := strays(t, path); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	t.Logf("%d writers x %d updates in %v, %d killed, %d readings", writers, updates, time.Since(started).Round(time.Millisecond), killed.Load(), looks)
}
