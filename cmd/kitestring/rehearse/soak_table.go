package rehearse

import (
	"fmt"
	"strconv"
	"strings"
)

// The tables' heads: CPU of the server and of the exchange in % of one core,
// memory in MB, latencies in ms.
var (
	LoadHeader = header(loadColumns)
	DaysHeader = header(daysColumns)
)

type column[Row any] struct {
	head string
	cell func(Row) string
}

var loadColumns = []column[Minute]{
	{"minute", func(m Minute) string { return orTotal(m.Minute != 0, strconv.Itoa(m.Minute)) }},
	{" cpu%", func(m Minute) string { return fmt.Sprintf("%.1f", m.CPU) }},
	{" sim%", func(m Minute) string { return fmt.Sprintf("%.1f", m.SimCPU) }},
	{"rss", func(m Minute) string { return fmt.Sprintf("%.0f", m.RSS) }},
	{"heap", func(m Minute) string { return fmt.Sprintf("%.0f", m.Heap) }},
	{" live", func(m Minute) string { return fmt.Sprintf("%.1f", m.Live) }},
	{"goroutines", func(m Minute) string { return strconv.Itoa(m.Goroutines) }},
	{"fds", func(m Minute) string { return strconv.Itoa(m.FDs) }},
	{"ticks sent", func(m Minute) string { return strconv.FormatInt(m.Sent, 10) }},
	{"received", func(m Minute) string { return strconv.FormatInt(m.Received, 10) }},
	{"lost", func(m Minute) string { return strconv.FormatInt(m.Lost, 10) }},
	{"repeated", func(m Minute) string { return strconv.FormatInt(m.Repeated, 10) }},
	{"conflated", func(m Minute) string { return strconv.FormatInt(m.Conflated, 10) }},
	{"rotations", func(m Minute) string { return strconv.Itoa(m.Rotations) }},
	{"longest", func(m Minute) string { return fmt.Sprintf("%.0f", m.RotationMS) }},
	{"fan-out p50", func(m Minute) string { return fmt.Sprintf("%.3f", m.FanoutP50) }},
	{"  p99", func(m Minute) string { return fmt.Sprintf("%.3f", m.FanoutP99) }},
	{"wait p99", func(m Minute) string { return fmt.Sprintf("%.2f", m.WaitP99) }},
}

var daysColumns = []column[Day]{
	{"day       ", func(d Day) string { return orTotal(d.Day != "", d.Day) }},
	{"  s", func(d Day) string { return fmt.Sprintf("%.0f", d.Seconds) }},
	{" cpu%", func(d Day) string { return fmt.Sprintf("%.1f", d.CPU) }},
	{"rss", func(d Day) string { return fmt.Sprintf("%.0f", d.RSS) }},
	{" live", func(d Day) string { return fmt.Sprintf("%.1f", d.Live) }},
	{"goroutines", func(d Day) string { return strconv.Itoa(d.Goroutines) }},
	{"fds", func(d Day) string { return strconv.Itoa(d.FDs) }},
	{"reminders", func(d Day) string { return strconv.Itoa(d.Reminders) }},
	{"login", func(d Day) string { return fmt.Sprintf("%.0f", d.LoginMS) }},
	{"rotations", func(d Day) string { return strconv.Itoa(d.Rotations) }},
	{"longest", func(d Day) string { return fmt.Sprintf("%.0f", d.RotationMS) }},
	{"restarts", func(d Day) string { return strconv.Itoa(d.Restarts) }},
	{"recovery", func(d Day) string { return fmt.Sprintf("%.0f", d.RecoveryMS) }},
	{"  ticks", func(d Day) string { return strconv.FormatInt(d.Received, 10) }},
	{"  lost", func(d Day) string { return strconv.FormatInt(d.Lost, 10) }},
	{"repeated", func(d Day) string { return strconv.FormatInt(d.Repeated, 10) }},
	{"burst p99", func(d Day) string { return fmt.Sprintf("%.3f", d.BurstP99) }},
	{"wait p99", func(d Day) string { return fmt.Sprintf("%.2f", d.WaitP99) }},
	{"notes", func(d Day) string { return d.Notes }},
}

// String is the row of LoadHeader.
func (m Minute) String() string {
	return row(loadColumns, func(c column[Minute]) string { return c.cell(m) })
}

// String is the row of DaysHeader.
func (d Day) String() string {
	return row(daysColumns, func(c column[Day]) string { return c.cell(d) })
}

func header[Row any](columns []column[Row]) string {
	return row(columns, func(c column[Row]) string { return c.head })
}

// row sets each cell right under its head, as wide as that is; the first one
// and notes, which may be long, to the left.
func row[Row any](columns []column[Row], cell func(column[Row]) string) string {
	var parts []string
	for i, c := range columns {
		width := len(c.head)
		if i == 0 || c.head == "notes" {
			width = -width
		}
		parts = append(parts, fmt.Sprintf("%*s", width, cell(c)))
	}
	return strings.TrimRight(strings.Join(parts, "  "), " ")
}

func orTotal(is bool, name string) string {
	if is {
		return name
	}
	return "total"
}
