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

// A text that is too long for the terminal goes on below where it begins; away
// from a terminal it is one line.
func TestLongTextsFold(t *testing.T) {
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, "disk   ok  79.7 GB are free for the state directory of this server\nclock  off\n"},
		{40, "disk   ok  79.7 GB are free for the\n           state directory of this\n           server\nclock  off\n"},
		{25, "disk   ok  79.7 GB are free for the state directory of this server\nclock  off\n"}, // too narrow to fold
	} {
		var out strings.Builder
		r := &Rows{width: c.width, out: &out}
		fmt.Fprint(r, "disk\tok\t79.7 GB are free for the state directory of this server\nclock\toff\n")
		if err := r.Flush(); err != nil || out.String() != c.want {
			t.Errorf("%d columns wide (%v):\n%s\nwant\n%s", c.width, err, out.String(), c.want)
		}
	}
	word := strings.Repeat("x", 50)
	if got := fold("a "+word+" b\n", 30, 2); got != "a "+word+" b\n" && !strings.Contains(got, word) {
		t.Errorf("a word is broken: %q", got)
	}
}
