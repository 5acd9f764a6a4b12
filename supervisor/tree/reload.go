package tree

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"kitestring/actors"
	"kitestring/actors/analysis"
	"kitestring/actors/hours"
	"kitestring/actors/instruments"
	"kitestring/messages"
)

// Reloadable are what the configuration file may choose. They may change while
// the house runs: a producer reads them at each birth, see chosen.
type Reloadable struct {
	Underlyings     []instruments.UnderlyingSpec // none: instruments.Defaults
	AnalysisProfile analysis.Profile             // "": calibrated
	BarInterval     time.Duration                // that analyses judge: one of analysis.Intervals; 0: 5 minutes
	Thresholds      analysis.Thresholds          // in place of the analyses' defaults
	HolidayFile     string                       // absolute; in place of the built-in table, read again each day; "": none
	MailboxTicks    int                          // that wait for a subscriber before they are conflated; 0: 8192
	Instruments     []messages.Want              // subscribed to beside those that the analyses need
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

// chosen is a producer that is made anew at each birth, of what is chosen then.
func (h *Server) reloaded(produce func(Reloadable) actors.Producer) actors.Producer {
	return func(self actors.Self) actors.Actor { return produce(*h.reloadable.Load())(self) }
}

// Reload reads the .env file as if for the first time, with new watches on it,
// and lets the actors that other choices concern begin anew with them; the log
// says what it found. Sockets and bars are untouched. A file, or a choice, that
// cannot be used changes nothing.
func (h *Server) Reload(c Reloadable) error {
	if err := c.check(); err != nil {
		return err
	}
	was := h.reloadable.Swap(&c)
	anew := []string{"token"}
	if !reflect.DeepEqual(was.Underlyings, c.Underlyings) {
		anew = append(anew, "instruments")
	}
	if c.HolidayFile != "" || was.HolidayFile != "" {
		anew = append(anew, "market") // the same file may say something else
	}
	for _, a := range analysis.All() {
		if was.AnalysisProfile != c.AnalysisProfile || was.BarInterval != c.BarInterval || !maps.Equal(was.Thresholds[a.Kind], c.Thresholds[a.Kind]) {
			anew = append(anew, a.Kind)
		}
	}
	if !reflect.DeepEqual(was.Instruments, c.Instruments) {
		h.wantChosen(c)
	}
	if runs := h.cfg.Reloadable.MailboxTicks; runs != c.MailboxTicks {
		h.log.Warn("another size of mailboxes takes a restart of the server", "ticks", runs, "chosen", c.MailboxTicks)
	}
	h.log.Info("configuration read again", "actors_begin_anew", strings.Join(anew, " "))
	for _, name := range anew {
		if err := h.tree.Restart(name); err != nil {
			h.log.Warn("did not begin anew; it will with its next start", "actor", name, "error", err)
		}
	}
	return nil
}

// wantChosen asks the feed for the instruments of the configuration, and for
// no others in its name.
func (h *Server) wantChosen(c Reloadable) {
	h.tree.Engine().Send(pidFeed, messages.WantInstruments{Owner: "configuration", Wants: c.Instruments})
}
