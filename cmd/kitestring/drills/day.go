package drills

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func killMidBar(ctx context.Context, r *Rig) (err error) {
	if err := r.close(); err != nil {
		return err
	}
	f, err := openFar(simulator.Config{Start: at(2026, time.March, 11, 10, 0, 30), Speed: 10, Rate: 1000})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	token, err := f.IssueToken()
	if err != nil {
		return err
	}
	dir, err := r.folder("victim", f, token)
	if err != nil {
		return err
	}
	p, err := r.process(ctx, dir, "Asia/Kolkata", f, token)
	if err != nil {
		return err
	}
	if err := errors.Join(p.up(ctx), p.streams(ctx, 8*time.Second+time.Duration(r.chance().Int64N(int64(8*time.Second))))); err != nil {
		return errors.Join(err, p.kill())
	}
	if err := p.kill(); err != nil {
		return err
	}
	killed := f.Clock().Now()
	if p, err = r.process(ctx, dir, "Asia/Kolkata", f, token); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	start := time.Now()
	if err := p.up(ctx); err != nil {
		return err
	}
	back := f.Clock().Now()
	open := at(2026, time.March, 11, 9, 15, 0)
	var underlyings []messages.Underlying
	err = p.within(ctx, 25*time.Second, "every series is whole from the open", func() (bool, string) {
		if underlyings, err = p.underlyings(); err != nil {
			return false, err.Error()
		}
		for _, u := range underlyings {
			for _, source := range []string{"index", "future"} {
				if whole := p.whole(u.Name, source, open, killed, back); whole != nil {
					return false, whole.Error()
				}
			}
		}
		return len(underlyings) == 3, "no underlyings"
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	// The seam is marked at once and healed when its minute is over: then every
	// bar must be equal, the seam's too.
	compared := 0
	err = p.within(ctx, 20*time.Second, "every bar, the seam healed, equals the exchange's history", func() (bool, string) {
		n, err := p.barsEqualHistory(ctx, true)
		if err != nil {
			return false, err.Error()
		}
		compared = n
		return true, ""
	})
	r.note("killed at %s, live again at %s of the exchange, %d bars equal to its history", killed.In(ist.Zone).Format(time.TimeOnly), back.In(ist.Zone).Format(time.TimeOnly), compared)
	return err
}

// whole demands one bar a minute from the open on, and a mark on those of the
// time while the server was dead.
func (r *Rig) whole(underlying, source string, open, killed, back time.Time) error {
	var bars []api.Bar
	if err := r.get("/api/v1/bars/"+underlying+"?interval=1m&source="+source, &bars); err != nil {
		return err
	}
	next := open
	for _, b := range bars {
		switch {
		case b.Start.Before(open):
			continue // of days before
		case !b.Start.Equal(next):
			return fmt.Errorf("%s %s: a bar of %s where that of %s should be", underlying, source, b.Start.In(ist.Zone).Format(time.TimeOnly), next.In(ist.Zone).Format(time.TimeOnly))
		case b.Closed && b.Start.Add(time.Minute).After(killed) && b.Start.Before(back) && !b.Partial && !b.Gapped && !b.Backfilled:
			return fmt.Errorf("%s %s: the bar of %s is not marked though the server was dead within it", underlying, source, b.Start.In(ist.Zone).Format(time.TimeOnly))
		case b.Closed && (b.Partial || b.Gapped):
			return fmt.Errorf("%s %s: the bar of %s is not healed yet", underlying, source, b.Start.In(ist.Zone).Format(time.TimeOnly))
		}
		next = next.Add(time.Minute)
	}
	if !next.After(back) {
		return fmt.Errorf("%s %s ends at %s", underlying, source, next.In(ist.Zone).Format(time.TimeOnly))
	}
	return nil
}

// wholeDay compares the timeline of a day with what a day should bring.
func wholeDay(ctx context.Context, r *Rig) error {
	if err := r.clock(map[string]any{"skip_nights": false}); err != nil {
		return err
	}
	before, err := r.workers()
	if err != nil {
		return err
	}
	err = r.within(ctx, 30*time.Second, "the flush is noticed and a login called for", func() (bool, string) {
		var t api.Token
		err := r.get("/api/v1/token", &t)
		return err == nil && t.State == messages.Rejected && t.LoginDue && strings.Contains(t.Reason, "flush"), fmt.Sprintf("%+v, %v", t, err)
	})
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.login(ctx); err != nil {
		return err
	}
	if err := r.adopted(ctx, 2, 10*time.Second); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	if err := r.happens(ctx, 40*time.Second, "market", 0, "market open"); err != nil {
		return err
	}
	err = r.within(ctx, 10*time.Second, "the burst at the open is live", func() (bool, string) {
		st, err := r.status()
		return err == nil && st.Live && st.Feed.TicksPerSecond > 500, fmt.Sprintf("%+v, %v", st, err)
	})
	if err != nil {
		return err
	}
	if err := r.happens(ctx, 80*time.Second, "market", 0, "market closing"); err != nil {
		return err
	}
	err = r.within(ctx, 20*time.Second, "the day is over", func() (bool, string) {
		st, err := r.status()
		return err == nil && st.Market.Phase == messages.Closed, fmt.Sprintf("%+v, %v", st.Market, err)
	})
	if err != nil {
		return err
	}
	events, err := r.events("", 0)
	if err != nil {
		return err
	}
	return errors.Join(asADay(events), func() error { _, err := r.untouched(before, ""); return err }())
}

// asADay demands the events of a day in their order, and no others. The login's
// own word comes when its token is in the file: others may have taken that up
// by then.
func asADay(events []api.Event) error {
	story := [][2]string{
		{"feed", "streaming"},
		{"token", "daily flush"},
		{"token", "adopted as generation 2"},
		{"rotation", "to generation 2: adopted"},
		{"market", "pre_open"},
		{"market", "matching"},
		{"market", "open"},
		{"market", "closing"},
		{"market", "closed"},
	}
	streamed, logins := false, 0
	for _, e := range events {
		if e.Kind == "login" && strings.Contains(e.Text, "Logged in") {
			logins++
		}
		if len(story) > 0 && e.Kind == story[0][0] && strings.Contains(e.Text, story[0][1]) {
			story = story[1:]
		}
		switch e.Kind {
		case "token", "login", "rotation", "market":
		case "feed":
			if streamed {
				return fmt.Errorf("the feed did not just stream through the day: %s", e.Text)
			}
			streamed = e.Text == "feed streaming"
		default:
			return fmt.Errorf("not of an ordinary day: %s: %s", e.Kind, e.Text)
		}
	}
	if logins != 1 {
		return fmt.Errorf("%d logins in %+v", logins, events)
	}
	if len(story) > 0 {
		return fmt.Errorf("missing, or not in this order: %q in %+v", story, events)
	}
	return nil
}
