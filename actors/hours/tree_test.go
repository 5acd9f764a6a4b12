package hours

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
)

// hourOfASession is how an hour of a session looks in code: as arguments of a
// time, in seconds or minutes, or in a text that is compared.
var hourOfASession = regexp.MustCompile(`\b(9, ?15|15, ?(15|30|35|40))\b(, ?0)?\)|\b(9|15) ?\* ?(60|3600|time\.Hour)\b|"(09:15|15:(15|30|35|40))(:00)?"`)

// The hours of the sessions stand in sessions.txt and nowhere else.
func TestNoOtherHourOfASession(t *testing.T) {
	root := actorstest.ModuleRoot(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != root):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n, line := range strings.Split(string(text), "\n") {
			code, _, _ := strings.Cut(line, "//")
			if hit := hourOfASession.FindString(code); hit != "" {
				t.Errorf("%s:%d: %s: ask the table of package hours", path, n+1, hit)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`ist.At(t, 15, 30, 0)`, `at(2026, time.March, 11, 9, 15, 0)`, `sessionClose = 15*3600 + 30*60`, `s == "15:30"`, `on(day, 9, 15)`} {
		if !hourOfASession.MatchString(line) {
			t.Errorf("%q is not found", line)
		}
	}
}
