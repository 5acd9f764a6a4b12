package soak

import (
	"fmt"
	"strconv"
	"strings"
)

// The tables' heads: CPU of the server and of the exchange in % of one core,
// memory in MB, latencies in ms.
var (
	LoadHeader = line(loadColumns, func(c loadColumn) string { return c.head }, func(c loadColumn) string { return c.head })
	DaysHeader = line(daysColumns, func(c daysColumn) string { return c.head }, func(c daysColumn) string { return c.head })
)

type loadColumn struct {
	head string
	cell func(m Minute) string
}

type daysColumn struct {
	head string
	cell func(d Day) string
}

var loadColumns = []loadColumn{
	{"minute", func(m Minute) string { return orTotal(m.Minute != 0, strconv.Itoa(m.Minute)) }},
	{" cpu%", func(m Minute) string { return fmt.Sprintf("%.1f", m.CPU) }},
	{" sim%", func(m Minute) string { return fmt.Sprintf("%.1f", m.SimCPU) }},
	{"rss", func(m Minute) string { return fmt.Sprintf("%.0f", m.RSS) }},
	{"heap", func(m Minute) string { return fmt.Sprintf("%.0f", m.Heap) }},
	{" live", func(m Minute) string { return fmt.Sprintf("%.1f", m.Live) }},
	{"goroutines", func(m Minute) string { return strconv.Itoa(m.Goroutines) }},
	{"fds", func(m Minute) string { return strconv.Itoa(m.FDs) }},
	{"ticks sent", func(m Minute) string { return strconv.FormatInt(m.Made, 10) }},
	{"received", func(m Minute) string { return strconv.FormatInt(m.Received, 10) }},
	{"lost", func(m Minute) string { return strconv.FormatInt(m.Lost, 10) }},
	{"twice", func(m Minute) string { return strconv.FormatInt(m.Twice, 10) }},
	{"conflated", func(m Minute) string { return strconv.FormatInt(m.Conflated, 10) }},
	{"rotations", func(m Minute) string { return strconv.Itoa(m.Rotations) }},
	{"longest", func(m Minute) string { return fmt.Sprintf("%.0f", m.RotationMS) }},
	{"fan-out p50", func(m Minute) string { return fmt.Sprintf("%.3f", m.FanoutP50) }},
	{"  p99", func(m Minute) string { return fmt.Sprintf("%.3f", m.FanoutP99) }},
	{"wait p99", func(m Minute) string { return fmt.Sprintf("%.2f", m.WaitP99) }},
}

var daysColumns = []daysColumn{
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
	{"twice", func(d Day) string { return strconv.FormatInt(d.Twice, 10) }},
	{"burst p99", func(d Day) string { return fmt.Sprintf("%.3f", d.BurstP99) }},
	{"wait p99", func(d Day) string { return fmt.Sprintf("%.2f", d.WaitP99) }},
	{"notes", func(d Day) string { return d.Notes }},
}

// String is the row of LoadHeader.
func (m Minute) String() string {
	return line(loadColumns, func(c loadColumn) string { return c.head }, func(c loadColumn) string { return c.cell(m) })
}

// String is the row of DaysHeader.
func (d Day) String() string {
	return line(daysColumns, func(c daysColumn) string { return c.head }, func(c daysColumn) string { return c.cell(d) })
}

// line sets each cell right under its head, as wide as that is; the first one
// and notes, which may be long, to the left.
func line[C any](columns []C, head, cell func(C) string) string {
	var parts []string
	for i, c := range columns {
		width := len(head(c))
		if i == 0 || head(c) == "notes" {
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
