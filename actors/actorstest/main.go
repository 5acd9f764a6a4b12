package actorstest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs a package's tests and then demands that no goroutine is left.
// goleak's own VerifyTestMain waits for half a second only, which the last
// goroutines of a connection may need on a busy machine.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); {
			err = goleak.Find() // waits by itself
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left 20 s after the last test:", err)
			code = 1
		}
	}
	os.Exit(code)
}
