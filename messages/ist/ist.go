// Package ist is Indian Standard Time: UTC+05:30 since 1945, without daylight
// saving, so that a fixed zone is exact and no host setting can change it.
package ist

import "time"

// Zone is IST.
var Zone = time.FixedZone("IST", 5*60*60+30*60)

// Layout is how Kite's REST API spells times, always in IST.
const Layout = "2006-01-02 15:04:05"

// Day is midnight IST of t's day.
func Day(t time.Time) time.Time {
	y, m, d := t.In(Zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, Zone)
}

// At is the time of day h:m:s IST on t's day.
func At(t time.Time, h, m, s int) time.Time {
	y, mo, d := t.In(Zone).Date()
	return time.Date(y, mo, d, h, m, s, 0, Zone)
}
