package drills

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

var tokenDrills = []Drill{
	{
		Name: "rotate-valid", Short: true,
		Inject: "a new token while streaming 1000 ticks/s, by mv and by echo >",
		Hold:   "0 lost, 0 twice, every holder on it within 5 s, a complete receipt, no actor restarted",
		run:    rotateValid,
	},
	{
		Name: "rotate-same", Short: true,
		Inject: "the file rewritten with the same token, another key changed, chmod, touch",
		Hold:   "no reconnect, no new generation",
		run:    rotateSame,
	},
	{
		Name: "rotate-twice", Short: true,
		Inject: "two rotations within 100 ms",
		Hold:   "ends on the newest; no socket of an older one survives 5 s",
		run:    rotateTwice,
	},
	{
		Name: "garbage-token", Short: true,
		Inject: "a typo is written while streaming",
		Hold:   "the old socket streams on, the typo is rejected and said so, the next good token heals",
		run:    garbageToken,
	},
	{
		Name: "deaf", Short: true,
		Inject: "an actor that works over REST, then the feed, does not hear of a new token, for a second or for good",
		Hold:   "the API and the metrics show who lags, auth warns after a second and tells it again; who is deaf for good needs a restart; all work with the token then, said once a generation",
		run:    deaf,
	},
	{
		Name:   "rotate-1000",
		Inject: "1000 new tokens, one after the other, while streaming 1000 ticks/s",
		Hold:   "0 lost, 0 twice, no goroutine and no open file more than before but of idle connections, a flat heap, 100 receipts",
		Limit:  10 * time.Minute,
		run:    withHistory(rotations(1000, 2_500_000)),
	},
}

func rotateValid(ctx context.Context, r *Rig) error {
	writes := []struct {
		name  string
		write func(string) error
	}{{"mv", r.byRename}, {"echo >", r.inPlace}}
	before, err := r.workers()
	if err != nil {
		return err
	}
	g, err := r.generation()
	if err != nil {
		return err
	}
	for _, w := range writes {
		value, err := r.rotate()
		if err != nil {
			return err
		}
		start := time.Now()
		if err := w.write(value); err != nil {
			return err
		}
		g++
		if err := r.adopted(ctx, g, 5*time.Second); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		r.recovery(time.Since(start))
		receipt, err := r.receipt(ctx, g)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		if err := nothingLost(receipt); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		r.note("%s: detected %.2f ms, first frame %.2f ms, old closed %.2f ms, %d overlapped, 0 lost, 0 twice",
			w.name, *receipt.DetectedMS, *receipt.FirstFrameMS, *receipt.RetiredMS, receipt.Overlapped)
	}
	after, err := r.workers()
	if err != nil {
		return err
	}
	for i := range before {
		if after[i].Epoch != before[i].Epoch {
			return fmt.Errorf("actor %s was restarted by a rotation", after[i].Name)
		}
		// One line a generation and holder; how many hold is the tree's business.
		took := fmt.Sprintf(`"actor":%q`, after[i].Name)
		err := r.within(ctx, 5*time.Second, fmt.Sprintf("the log says that %s has taken generation %d up", after[i].Name, g), func() (bool, string) {
			// Noted first, then said.
			return after[i].Generation != g || r.logged("token taken up", took, fmt.Sprintf(`"generation":%d`, g)), "no such line"
		})
		if err != nil {
			return err
		}
	}
	return r.within(ctx, 5*time.Second, "the log says that the token is adopted by all", func() (bool, string) {
		return r.logged("token adopted by all", fmt.Sprintf(`"generation":%d`, g)), "no such line"
	})
}

// missing names a stage that a receipt does not have, "" when it has all.
func missing(rot messages.Rotation) string {
	for _, stage := range []struct {
		name string
		ms   *float64
	}{
		{"detected", rot.DetectedMS},
		{"validated", rot.ValidatedMS},
		{"dialled", rot.DialledMS},
		{"first frame", rot.FirstFrameMS},
		{"first tick", rot.FirstTickMS},
		{"old closed", rot.RetiredMS},
	} {
		if stage.ms == nil {
			return stage.name
		}
	}
	return ""
}

// nothingLost demands that a receipt counted, and counted nothing.
func nothingLost(rot messages.Rotation) error {
	if rot.Lost == nil || rot.Repeated == nil {
		return errors.New("the receipt does not count what was lost, though the simulator is sequenced")
	}
	if *rot.Lost != 0 || *rot.Repeated != 0 {
		return fmt.Errorf("%d ticks lost, %d delivered twice", *rot.Lost, *rot.Repeated)
	}
	return nil
}

// logged reports whether one log line holds all parts.
func (r *Rig) logged(parts ...string) bool {
	_, found := r.loggedAt(parts...)
	return found
}

func rotateSame(ctx context.Context, r *Rig) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	value, err := r.fileToken()
	if err != nil {
		return err
	}
	upgrades, err := r.upgrades()
	if err != nil {
		return err
	}
	changes := []struct {
		name string
		do   func() error
	}{
		{"same token by mv", func() error { return r.byRename(value) }},
		{"same token in place", func() error { return r.inPlace(value) }},
		{"another key", func() error {
			f, err := os.OpenFile(r.EnvFile, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("SOMEBODY_ELSES=1\n")
			return errors.Join(err, f.Close())
		}},
		{"chmod", func() error { return os.Chmod(r.EnvFile, 0o640) }},
		{"touch", func() error { now := time.Now(); return os.Chtimes(r.EnvFile, now, now) }},
	}
	for _, change := range changes {
		if err := change.do(); err != nil {
			return fmt.Errorf("%s: %w", change.name, err)
		}
		// Longer than the slow poll, so that both ways of seeing have looked.
		err := r.during(ctx, 1300*time.Millisecond, "no new generation and no dial", func() (bool, string) {
			now, err := r.generation()
			if err != nil {
				return false, err.Error()
			}
			n, err := r.upgrades()
			if err != nil {
				return false, err.Error()
			}
			return now == g && n == upgrades, fmt.Sprintf("generation %d, %d upgrades (before: %d, %d)", now, n, g, upgrades)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", change.name, err)
		}
	}
	r.note("%d changes that change nothing: no dial, generation still %d", len(changes), g)
	return nil
}

func rotateTwice(ctx context.Context, r *Rig) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	first, err := r.rotate()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.byRename(first); err != nil {
		return err
	}
	second, err := r.rotate()
	if err != nil {
		return err
	}
	if err := r.byRename(second); err != nil {
		return err
	}
	between := time.Since(start)
	// The first value may never have been read: then the newest is one on.
	err = r.within(ctx, 10*time.Second, "the newest token is adopted by all", func() (bool, string) {
		var t api.Token
		if err := r.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		return t.Fingerprint == fingerprint(second) && t.Coherent && t.Generation <= g+2, fmt.Sprintf("%+v", t)
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	err = r.within(ctx, 5*time.Second, "only sockets of the newest token are left", func() (bool, string) {
		sockets, err := r.sockets()
		if err != nil {
			return false, err.Error()
		}
		for _, s := range sockets {
			if s != fingerprint(second) {
				return false, fmt.Sprintf("a socket of %s is open", s)
			}
		}
		return len(sockets) > 0, "no socket at all"
	})
	r.note("two tokens within %s", between.Round(time.Millisecond))
	return err
}

func garbageToken(ctx context.Context, r *Rig) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	good, err := r.fileToken()
	if err != nil {
		return err
	}
	typo := strings.Repeat("x", len(good))
	r.secrets = append(r.secrets, typo)
	if err := r.byRename(typo); err != nil {
		return err
	}
	err = r.within(ctx, 10*time.Second, "the typo is rejected", func() (bool, string) {
		var t api.Token
		if err := r.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		return t.Candidate != nil && t.Candidate.State == messages.Rejected && t.Generation == g, fmt.Sprintf("%+v", t)
	})
	if err != nil {
		return err
	}
	upgrades, err := r.upgrades()
	if err != nil {
		return err
	}
	err = r.during(ctx, 2*time.Second, "the old socket streams on and nobody dials", func() (bool, string) {
		var st api.Status
		if err := r.get("/api/v1/status", &st); err != nil {
			return false, err.Error()
		}
		n, err := r.upgrades()
		if err != nil {
			return false, err.Error()
		}
		return st.Live && st.Token.Coherent && n == upgrades, fmt.Sprintf("%+v, %d upgrades", st, n)
	})
	if err != nil {
		return err
	}
	value, err := r.rotate()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.byRename(value); err != nil {
		return err
	}
	if err := r.adopted(ctx, g+2, 10*time.Second); err != nil {
		return err
	}
	r.recovery(time.Since(start))
	receipt, err := r.receipt(ctx, g+2)
	if err != nil {
		return err
	}
	return nothingLost(receipt)
}

// fingerprint is how a token is shown.
func fingerprint(value string) string { return messages.NewAccessToken(value).Fingerprint() }

// upgrades counts the dials that the exchange has seen, whatever it answered.
func (r *Rig) upgrades() (int64, error) {
	var st simulator.State
	if err := r.sim(http.MethodGet, "/state", nil, &st); err != nil {
		return 0, err
	}
	return dials(st), nil
}

// sockets are the fingerprints of the tokens of the open sockets.
func (r *Rig) sockets() ([]string, error) {
	var st simulator.State
	if err := r.sim(http.MethodGet, "/state", nil, &st); err != nil {
		return nil, err
	}
	var tokens []string
	for _, s := range st.Sockets {
		tokens = append(tokens, s.Fingerprint)
	}
	return tokens, nil
}
