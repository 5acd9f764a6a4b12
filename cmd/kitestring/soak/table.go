package soak

import "fmt"

// The tables' heads. Columns: CPU of the server and of the exchange in % of one
// core, memory in MB (the most resident, live heap), latencies in ms.
const (
	LoadHeader = "minute   cpu%   sim%   rss  heap  live  goroutines  fds  ticks sent  received  lost  dup  confl  rotations   ms  fan-out p50    p99  wait p99"
	DaysHeader = "day           s   cpu%   rss  live  goroutines  fds  reminders  login ms  rotations   ms  restarts  recovery ms  ticks    lost  burst p99  wait p99  notes"
)

// String is the row of LoadHeader.
func (m Minute) String() string {
	name := fmt.Sprint(m.Minute)
	if m.Minute == 0 {
		name = "total"
	}
	return fmt.Sprintf("%-6s  %5.1f  %5.1f  %4.0f  %4.0f  %4.1f  %10d  %3d  %10d  %8d  %4d  %3d  %5d  %9d  %3.0f  %11.3f  %5.2f  %8.2f",
		name, m.CPU, m.SimCPU, m.RSS, m.Heap, m.Live, m.Goroutines, m.FDs, m.Made, m.Received, m.Lost, m.Twice, m.Conflated,
		m.Rotations, m.RotationMS, m.FanoutP50, m.FanoutP99, m.WaitP99)
}

// String is the row of DaysHeader.
func (d Day) String() string {
	name := d.Day
	if name == "" {
		name = "total"
	}
	return fmt.Sprintf("%-10s  %4.0f  %5.1f  %4.0f  %4.1f  %10d  %3d  %9d  %8.0f  %9d  %3.0f  %8d  %11.0f  %6d  %5d  %9.2f  %8.2f  %s",
		name, d.Seconds, d.CPU, d.RSS, d.Live, d.Goroutines, d.FDs, d.Reminders, d.LoginMS, d.Rotations, d.RotationMS,
		d.Restarts, d.RecoveryMS, d.Received, d.Lost, d.BurstP99, d.WaitP99, d.Notes)
}
