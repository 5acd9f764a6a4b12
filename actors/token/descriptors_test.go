package token

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

// A process that has no descriptor left still reads and writes the file with those
// that it holds back; without them, it says what is wrong and what to do, and the
// next free descriptor heals. In a process of its own, whose limit is low.
func TestOutOfDescriptors(t *testing.T) {
	const child = "KITESTRING_TEST_DESCRIPTORS"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOutOfDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	tokens := []string{newToken(), newToken(), newToken()}
	path := fileWith(t, tokens[0])
	h, s := watch(t, path)
	await(t, h, tokens[0])
	put(t, path+".1", fmt.Sprintf(fileText, tokens[1]), 0o600)
	put(t, path+".2", fmt.Sprintf(fileText, tokens[2]), 0o600)
	replace := func(with string) {
		if err := os.Rename(path+with, path); err != nil {
			t.Error(err)
		}
	}

	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	was := limit
	limit.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var held []*os.File
	defer func() {
		for _, f := range held {
			f.Close()
		}
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	}()
	exhaust := func() {
		for {
			f, err := os.Open(os.DevNull)
			if errors.Is(err, syscall.EMFILE) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, f)
		}
	}
	exhaust()
	replace(".1")
	await(t, h, tokens[1])
	if err := s.Set(t.Context(), "SOMEBODY_ELSES", "1"); err != nil {
		t.Errorf("not written: %v", err)
	}
	// Nothing can be opened, whatever is given back.
	few := limit
	few.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	replace(".2")
	m := actorstest.Await(h, func(m messages.EnvRejected) bool { return strings.Contains(m.Reason, "too many open files") })
	if !strings.Contains(m.Reason, "LimitNOFILE") || s.Adopted() != 0 || s.Current().Candidate.Token.Reveal() != tokens[1] {
		t.Errorf("%+v, candidate %+v", m, s.Current().Candidate)
	}
	if err := s.Set(t.Context(), "SOMEBODY_ELSES", "2"); err == nil || !strings.Contains(err.Error(), "LimitNOFILE") {
		t.Errorf("%v", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	await(t, h, tokens[2])
}
