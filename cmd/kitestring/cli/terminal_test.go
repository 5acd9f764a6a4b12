package cli

import (
	"fmt"
	"strings"
	"testing"
)

// A table that is too wide for the terminal leaves out what matters least.
func TestANarrowTableLeavesOutColumns(t *testing.T) {
	table := &Table{Head: []string{"ACTOR", "STATE", "EPOCH", "UPTIME", "LAST ERROR"}, Ranks: []int{0, 0, 2, 1, 0}}
	table.Add("feed", "running", "1", "12h30m0s", strings.Repeat("x", 80))
	for width, want := range map[int]string{0: "[0 1 2 3 4]", 200: "[0 1 2 3 4]", 43: "[0 1 3 4]", 30: "[0 1 4]", 10: "[0 1 4]"} {
		if shown, _, left := table.fit(width); fmt.Sprint(shown) != want || left != 5-len(shown) {
			t.Errorf("%d columns wide: %v with %d left out, want %s", width, shown, left, want)
		}
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 sockets", 1: "1 socket", 2: "2 sockets"} {
		if got := Plural(n, "socket"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
