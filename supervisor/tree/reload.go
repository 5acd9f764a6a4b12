package tree

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"kitestring/actors"
	"kitestring/actors/alerts"
	"kitestring/actors/analysis"
	"kitestring/actors/chain"
	"kitestring/actors/hours"
	"kitestring/actors/instruments"
	"kitestring/actors/record"
	"kitestring/messages"
)

// Reloadable is what the configuration file may set. It may change while the
// server runs: a producer reads it at each start, see reloaded.
type Reloadable struct {
	Underlyings     []instruments.UnderlyingSpec // none: instruments.Defaults
	AnalysisProfile analysis.Profile             // "": calibrated
	BarInterval     time.Duration                // that analyses judge: one of bars.Intervals; 0: 5 minutes
	Thresholds      analysis.Thresholds          // in place of the analyses' defaults
	HolidayFile     string                       // absolute; in place of the built-in table, read again each day; "": none
	MailboxTicks    int                          // that wait for a subscriber before they are conflated; 0: 8192
	Alerts          []alerts.Rule                // sent to a person
	Instruments     []messages.Want              // subscribed to beside those that the analyses need

	Record   RecordConfig // the recorder
	PeerAddr string       // where to listen for the second server that shares the login; "": nowhere. Changes with a restart

	Bus BusConfig // the way out to other machines. Changes with a restart

	FeedSockets int // this server's share of Kite's three sockets; 0: all. Changes with a restart

	GatewayOrders      bool // the gateway lets clients with the scope place orders
	GatewayInstruments int  // that its clients may want together; 0: 5500. Changes with a restart
}

// check tries what can only be tried outside the configuration file.
func (c *Reloadable) check() error {
	if c.HolidayFile == "" {
		return nil
	}
	if _, err := hours.Load(c.HolidayFile); err != nil {
		return fmt.Errorf("the table of holidays cannot be used: %w", err)
	}
	return nil
}

// reloaded is a producer that is made again at each start, of what is configured
// then.
func (s *Server) reloaded(produce func(Reloadable) actors.Producer) actors.Producer {
	return func(self actors.Self) actors.Actor { return produce(*s.reloadable.Load())(self) }
}

// Reload reads the .env file as if for the first time, with new watches on it,
// and restarts the actors that a changed setting concerns; the log says which.
// Sockets and bars are untouched. A file, or a setting, that cannot be used
// changes nothing.
func (s *Server) Reload(c Reloadable) error {
	if err := c.check(); err != nil {
		return err
	}
	was := s.reloadable.Swap(&c)
	restart := []string{"token"}
	if !reflect.DeepEqual(was.Underlyings, c.Underlyings) || !reflect.DeepEqual(was.Instruments, c.Instruments) {
		restart = append(restart, "instruments")
	}
	if c.HolidayFile != "" || was.HolidayFile != "" {
		restart = append(restart, "market") // the same file may say something else
	}
	if was.Record != c.Record {
		restart = append(restart, record.Name)
	}
	if analysis.ChainLimits(was.Thresholds) != analysis.ChainLimits(c.Thresholds) {
		restart = append(restart, chain.Name)
	}
	if !reflect.DeepEqual(was.Alerts, c.Alerts) {
		restart = append(restart, "alerts")
	}
	for _, a := range analysis.All() {
		if was.AnalysisProfile != c.AnalysisProfile || was.BarInterval != c.BarInterval || !maps.Equal(was.Thresholds[a.Kind], c.Thresholds[a.Kind]) {
			restart = append(restart, a.Kind)
		}
	}
	if runs := s.cfg.Reloadable.MailboxTicks; runs != c.MailboxTicks {
		s.log.Warn("another size of mailboxes takes a restart of the server", "ticks", runs, "configured", c.MailboxTicks)
	}
	if runs := s.cfg.Reloadable.PeerAddr; runs != c.PeerAddr {
		s.log.Warn("another address for the peer takes a restart of the server", "runs", runs, "configured", c.PeerAddr)
	}
	if !reflect.DeepEqual(s.cfg.Reloadable.Bus, c.Bus) {
		s.log.Warn("another bus takes a restart of the server", "runs", s.cfg.Reloadable.Bus.String(), "configured", c.Bus.String())
	}
	s.log.Info("configuration read again", "restarted", strings.Join(restart, " "))
	for _, name := range restart {
		if err := s.tree.Restart(name); err != nil {
			s.log.Warn("not restarted; it takes the configuration with its next start", "actor", name, "error", err)
		}
	}
	return nil
}
