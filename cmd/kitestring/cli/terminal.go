package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
)

// IsTerminal reports whether a stream is a terminal that a person looks at.
func IsTerminal(stream any) bool {
	file, _ := stream.(*os.File)
	return file != nil && isatty.IsTerminal(file.Fd())
}

// coloured reports whether the output may have colours.
func (p *Program) coloured() bool {
	return IsTerminal(p.Stdout) && p.Getenv("NO_COLOR") == "" && p.Getenv("TERM") != "dumb"
}

// The colours of a state.
const (
	Green  = "32"
	Yellow = "33"
	Red    = "31"
)

// Paint colours a text where the output may have colours.
func (p *Program) Paint(colour, text string) string {
	if !p.coloured() {
		return text
	}
	return "\x1b[1;" + colour + "m" + text + "\x1b[0m"
}

// Width is how many columns the output has, 0 where it is no terminal.
func (p *Program) Width() int {
	if !IsTerminal(p.Stdout) {
		return 0
	}
	if n, err := strconv.Atoi(p.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	size, err := unix.IoctlGetWinsize(int(p.Stdout.(*os.File).Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// Table is a list for people. On a terminal that is too narrow it leaves out
// columns, those of the highest rank first, and says so: a wrapped line cannot
// be read. Elsewhere it is whole.
type Table struct {
	Head  []string
	Ranks []int // by column; 0: never left out
	rows  [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// Addf adds a row whose cells tabs part.
func (t *Table) Addf(format string, args ...any) {
	t.Add(strings.Split(fmt.Sprintf(format, args...), "\t")...)
}

const columnGap = 2

// fit are the columns that are shown, with their widths. The last one may be
// cut: it is a text.
func (t *Table) fit(width int) (shown []int, widths []int, left int) {
	widths = make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i := range t.Head {
		shown = append(shown, i)
	}
	const leastText = 12
	for width > 0 {
		total, worst := 0, -1
		for k, i := range shown {
			w := widths[i]
			if k == len(shown)-1 && i == len(t.Head)-1 {
				w = min(w, leastText)
			}
			total += w + columnGap
			if t.Ranks[i] > 0 && (worst < 0 || t.Ranks[i] > t.Ranks[shown[worst]]) {
				worst = k
			}
		}
		if total-columnGap <= width || worst < 0 {
			break
		}
		shown = append(shown[:worst], shown[worst+1:]...)
		left++
	}
	return shown, widths, left
}

// Print prints the table.
func (p *Program) Print(t *Table) error {
	_, err := io.WriteString(p.Stdout, p.Lines(t))
	return err
}

// Lines is the table as it is printed.
func (p *Program) Lines(t *Table) string {
	width := p.Width()
	shown, widths, left := t.fit(width)
	var out strings.Builder
	for _, row := range append([][]string{t.Head}, t.rows...) {
		line := ""
		for k, i := range shown {
			if k == len(shown)-1 {
				line += row[i]
				break
			}
			line += row[i] + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(row[i])+columnGap)
		}
		line = strings.TrimRight(line, " ")
		if runes := []rune(line); width > 0 && len(runes) > width {
			line = string(runes[:width-1]) + "…"
		}
		out.WriteString(line + "\n")
	}
	if left > 0 {
		fmt.Fprintf(&out, "(%s left out: make the terminal wider, or use --json)\n", Plural(left, "column"))
	}
	return out.String()
}

// Plural is a count with its noun: 1 socket, 2 sockets.
func Plural[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprint(n, " ", noun, "s")
}

// leastFold is how many columns a folded text has at least.
const leastFold = 20

// Fold breaks a text between words where the terminal ends; what follows begins
// below the column indent.
func (p *Program) Fold(text string, indent int) string { return fold(text, p.Width(), indent) }

func fold(text string, width, indent int) string {
	if width-indent < leastFold {
		return text
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		line, end := strings.TrimSuffix(line, "\n"), strings.HasSuffix(line, "\n")
		for runes := []rune(line); len(runes) > width; runes = []rune(line) {
			at := width
			for at > indent && runes[at] != ' ' {
				at--
			}
			if at <= indent { // a word that is longer than a line
				break
			}
			out.WriteString(strings.TrimRight(string(runes[:at]), " ") + "\n")
			line = strings.Repeat(" ", indent) + strings.TrimLeft(string(runes[at:]), " ")
		}
		out.WriteString(line)
		if end {
			out.WriteString("\n")
		}
	}
	return out.String()
}

// Rows lines up cells that tabs part, a row a line. A last cell that is too long
// for the terminal is folded below itself.
type Rows struct {
	width int
	out   io.Writer
	text  strings.Builder
}

// Rows writes to out at Flush.
func (p *Program) Rows(out io.Writer) *Rows { return &Rows{width: p.Width(), out: out} }

// Write implements io.Writer.
func (r *Rows) Write(text []byte) (int, error) { return r.text.Write(text) }

// Flush prints the rows.
func (r *Rows) Flush() error {
	var rows [][]string
	var widths []int
	for line := range strings.Lines(r.text.String()) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		rows = append(rows, cells)
		for i, cell := range cells[:len(cells)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for _, cells := range rows {
		line, last := "", len(cells)-1
		for i, cell := range cells[:last] {
			line += cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+columnGap)
		}
		out.WriteString(strings.TrimRight(fold(line+cells[last], r.width, utf8.RuneCountInString(line)), " ") + "\n")
	}
	_, err := io.WriteString(r.out, out.String())
	return err
}
