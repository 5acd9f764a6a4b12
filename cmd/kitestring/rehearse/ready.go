package rehearse

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/tape"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// readyDrill breaks one line of the morning. cut may be nil: the setup has
// broken it already; mend may be nil: it stays broken.
func readyDrill(check, inject string, setup Setup, cut, mend func(r *Rig)) Drill {
	if setup.Start.IsZero() {
		setup.Start = beforeOpen
	}
	setup.Gateway = true
	return Drill{
		Name: "ready-" + strings.ReplaceAll(check, "_", "-"), Topic: Market, Setup: setup,
		Inject: inject,
		Hold:   "the line " + check + " alone is missing, with a fix; all others stand or wait for it",
		Steps: func(r *Rig) {
			if cut != nil {
				if !r.setup.Cold {
					r.green()
				}
				cut(r)
			}
			start := time.Now()
			line := r.missing(check)
			r.recovery(start)
			r.note("%s: %s. Fix: %s", line.Name, line.Detail, line.Fix)
			if mend != nil {
				mend(r)
				r.green()
			}
		},
	}
}

func (r *Rig) readiness() messages.Readiness { return get[messages.Readiness](r, "/api/v1/ready") }

// green waits until nothing is missing.
func (r *Rig) green() {
	r.within(45*time.Second, "nothing is missing for the open", func() (bool, any) {
		now := r.readiness()
		return now.Ready && len(now.Checks) > 0, unwell(now)
	})
}

// unwell are the lines that keep a morning from being ready.
func unwell(r messages.Readiness) (lines []string) {
	for _, c := range r.Checks {
		if c.State == messages.ReadyMissing || c.State == messages.ReadyWaiting {
			lines = append(lines, fmt.Sprintf("%s %s: %s", c.Name, c.State, c.Detail))
		}
	}
	return lines
}

// missing waits until one line, and no other, is missing.
func (r *Rig) missing(name string) (line messages.ReadyCheck) {
	r.within(45*time.Second, "the line "+name+" alone is missing", func() (bool, any) {
		now := r.readiness()
		missing := now.Missing()
		if len(missing) != 1 || missing[0].Name != name {
			return false, unwell(now)
		}
		line = missing[0]
		return !now.Ready && line.Fix != "" && !line.Since.IsZero(), line
	})
	return line
}

// quarantine makes an actor fail until it is given up.
func (r *Rig) quarantine(victim string) {
	a := r.actor(victim)
	for n := 0; a.State != "quarantined"; n++ {
		if n > 100 {
			failf("not quarantined after %d panics: %+v", n, a)
		}
		r.chaos(api.Chaos{Actor: victim, Kind: "panic"})
		restarts := a.Restarts
		r.within(10*time.Second, "the panic happened", func() (bool, any) {
			a = r.actor(victim)
			return a.Restarts > restarts || a.State == "quarantined", a
		})
	}
}

// sunday is a day without a session.
var sunday = at(2026, time.March, 15, 8, 50, 0)

var (
	_ = register(Drill{
		Name: "ready-healthy", Topic: Market, Setup: Setup{Start: beforeOpen, Gateway: true},
		Inject: "a morning on which all is well, and a Sunday",
		Hold:   "every line stands; on the Sunday the first one says when the next session begins, and nothing is missing",
		Steps: func(r *Rig) {
			r.green()
			for _, c := range r.readiness().Checks {
				if c.State == messages.ReadyNotDue || c.State == messages.ReadyWarning {
					failf("on a healthy morning %s is %s: %s", c.Name, c.State, c.Detail)
				}
				r.note("%s %s", c.Name, c.State)
			}
			s := r.second("sunday", Setup{Cold: true, Start: sunday, Gateway: true}, plainFile)
			s.within(20*time.Second, "nothing is missing on a Sunday", func() (bool, any) {
				now := s.readiness()
				return now.Ready && len(now.Checks) > 0 && strings.Contains(now.Checks[0].Detail, "the next session begins Mon 16 Mar 09:15 IST"), now
			})
			r.note("%s", s.readiness().Checks[0].Detail)
			s.close()
		},
	})

	_ = register(readyDrill("session", "the file of sessions is replaced by one that cannot be read", Setup{Prepare: func(r *Rig) {
		r.config.Reloadable.HolidayFile = filepath.Join(r.Dir, "sessions.txt")
		check(os.WriteFile(r.config.Reloadable.HolidayFile, []byte(saturday), 0o600))
	}}, func(r *Rig) {
		check(os.WriteFile(r.config.Reloadable.HolidayFile, []byte("2026-07-18 perhaps\n"), 0o600))
		r.restart("market")
	}, func(r *Rig) {
		check(os.WriteFile(r.config.Reloadable.HolidayFile, []byte(saturday), 0o600))
		r.restart("market")
	}))

	_ = register(readyDrill("clock", "the server's clock is 30 s ahead of the exchange's", Setup{Start: ordinary, Speed: 10, ClockOff: 30 * time.Second}, nil, nil))

	_ = register(readyDrill("env_mount", "a line of the .env file is cut in the middle of a quotation", Setup{}, func(r *Rig) {
		content := string(must(os.ReadFile(r.EnvFile)))
		r.writeEnv(strings.Replace(content, "ZERODHA_API_SECRET=", "ZERODHA_API_SECRET=\"", 1))
	}, func(r *Rig) {
		content := string(must(os.ReadFile(r.EnvFile)))
		r.writeEnv(strings.Replace(content, "ZERODHA_API_SECRET=\"", "ZERODHA_API_SECRET=", 1))
	}))

	_ = register(func() Drill {
		var full atomic.Bool
		return readyDrill("disk", "the disk of the state directory is full", Setup{Prepare: func(r *Rig) {
			full.Store(false)
			r.config.Reloadable.Record.Off = true // it needs more room than the rest
			r.config.RecordDisk.Space = func(dir string) (free, size int64, err error) {
				if full.Load() && dir == r.config.StateDir {
					return 12 << 20, 100 << 30, nil
				}
				return 50 << 30, 100 << 30, nil
			}
		}}, func(*Rig) { full.Store(true) }, func(*Rig) { full.Store(false) })
	}())

	_ = register(readyDrill("token", "another login ends the token before the open", Setup{ManualLogin: true, Prepare: withLiveToken}, func(r *Rig) {
		r.rotate()
		r.validate()
	}, func(r *Rig) { r.login() }))

	_ = register(readyDrill("rest_budget", "Kite answers every request with 429", Setup{}, func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultRESTTooMany})
		r.validate()
	}, func(r *Rig) {
		r.lift()
		r.validate()
	}))

	_ = register(readyDrill("instruments", "the instruments file of today does not come", Setup{Cold: true, ManualLogin: true}, func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultRESTBadGateway, Path: "/instruments"})
		r.login()
	}, func(r *Rig) { r.lift() }))

	_ = register(readyDrill("expiry_roll", "a chain ends on a Tuesday while the actor that rolls it is quarantined", Setup{Start: at(2026, time.March, 10, 15, 20, 0)}, func(r *Rig) {
		r.quarantine("instruments")
		r.clock(map[string]any{"now": at(2026, time.March, 11, 8, 20, 0)})
	}, func(r *Rig) { r.restart("instruments") }))

	_ = register(readyDrill("socket", "the socket drops, and no new one is let in", Setup{}, func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultServerError})
		r.reconnect()
	}, func(r *Rig) { r.lift() }))

	_ = register(readyDrill("first_packet", "a new socket streams heartbeats and no packet", Setup{}, func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultNoFirstTick})
		r.reconnect()
	}, func(r *Rig) {
		r.lift()
		r.reconnect()
	}))

	_ = register(readyDrill("option_chain", "the index of SENSEX sends no packet before the open", Setup{Cold: true, ManualLogin: true}, func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultNoCached, InstrumentToken: 265})
		r.login()
	}, func(r *Rig) {
		r.lift()
		r.reconnect()
	}))

	_ = register(readyDrill("capacity", "the configuration wants an instrument that nobody lists", Setup{Prepare: func(r *Rig) {
		r.config.Reloadable.Instruments = []messages.Want{{InstrumentToken: 9999<<8 | uint32(messages.NSE), Mode: messages.ModeFull, Tradingsymbol: "NOSUCH"}}
	}}, nil, func(r *Rig) { check(r.Server.Reload(tree.Reloadable{})) }))

	_ = register(readyDrill("gateway", "the gateway is given up", Setup{}, func(r *Rig) { r.quarantine("gateway") }, func(r *Rig) { r.restart("gateway") }))

	_ = register(func() Drill {
		var broken atomic.Bool
		return readyDrill("recorder", "the disk reports errors to the recorder", Setup{Prepare: func(r *Rig) {
			broken.Store(false)
			r.config.RecordDisk.Create = func(path string) (tape.File, error) {
				if broken.Load() {
					return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EIO}
				}
				return tape.CreateFile(path)
			}
		}}, func(r *Rig) {
			broken.Store(true)
			r.restart("record")
		}, func(*Rig) { broken.Store(false) })
	}())

	_ = register(func() Drill {
		var refuses *reminders
		return readyDrill("reminder", "the webhook of the reminders answers 404", Setup{
			Cold: true, Start: at(2026, time.March, 11, 8, 44, 50), ManualLogin: true,
			Prepare: func(r *Rig) {
				refuses = r.receiveReminders()
				refuses.refuse(http.StatusNotFound)
				r.startWith(func(content, value string) string {
					return strings.Replace(content, value, strings.Repeat("D", 32), 1) + "WEBHOOK_URL=" + refuses.url + "\n"
				})
			},
		}, func(r *Rig) {
			r.within(60*time.Second, "the reminder of 08:45 is given up", func() (bool, any) {
				last := get[api.Reminders](r, "/api/v1/reminders").Last
				return slices.ContainsFunc(last, func(l api.ReminderResult) bool { return !l.Arrived }), last
			})
			r.login()
		}, func(r *Rig) {
			content := string(must(os.ReadFile(r.EnvFile)))
			refuses.refuse(http.StatusOK)
			r.writeEnv(strings.Replace(content, "WEBHOOK_URL="+refuses.url, "WEBHOOK_URL="+refuses.url+"/right", 1))
		})
	}())
)
