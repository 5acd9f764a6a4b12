package drills

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

var actorDrills = []Drill{
	{
		Name: "panic-each", Short: true,
		Inject: "a panic of every actor in turn: in a handler, in a goroutine, in its start, at its end",
		Hold:   "back within 5 s with the current generation; siblings untouched: no socket dropped by another's restart",
		run:    panicEach,
	},
	{
		Name: "panic-while-rotating", Short: true,
		Inject: "each actor panics and the token changes while it is down",
		Hold:   "it starts with the new generation",
		run:    panicWhileRotating,
	},
}

func panicEach(ctx context.Context, r *Rig) error {
	workers, err := r.workers()
	if err != nil {
		return err
	}
	kinds := []string{"panic", "goroutine", "panic-start", "panic-stop"}
	for _, kind := range kinds {
		for _, victim := range workers {
			if err := r.strike(ctx, victim.Name, kind, workers); err != nil {
				return fmt.Errorf("%s in %s: %w", kind, victim.Name, err)
			}
		}
	}
	r.note("%d actors struck %d times each", len(workers), len(kinds))
	return r.live(ctx)
}

// patient waits until two more restarts of anybody are a matter of his own: more
// within the window would be his quarantine or the restart of his group.
func (r *Rig) patient(ctx context.Context) error {
	return r.within(ctx, 30*time.Second, "the restarts of before are forgotten", func() (bool, string) {
		var all []api.Actor
		if err := r.get("/api/v1/actors", &all); err != nil {
			return false, err.Error()
		}
		for _, a := range all {
			if a.RestartsInWindow+2 > a.RestartsAllowed || a.Kind != "worker" && a.ChildrenInWindow+2 > a.ChildrenAllowed {
				return false, fmt.Sprintf("%s: %d of %d, children %d of %d", a.Name, a.RestartsInWindow, a.RestartsAllowed, a.ChildrenInWindow, a.ChildrenAllowed)
			}
		}
		return true, ""
	})
}

// strike injects a fault, waits for the next incarnation and demands that
// nobody else was restarted.
func (r *Rig) strike(ctx context.Context, name, kind string, workers []api.Actor) error {
	if err := r.patient(ctx); err != nil {
		return err
	}
	before, err := r.epochs()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.inject(name, kind); err != nil {
		return err
	}
	err = r.within(ctx, 5*time.Second, "it runs again", func() (bool, string) {
		var a api.Actor
		if err := r.get("/api/v1/actors/"+name, &a); err != nil {
			return false, err.Error() // the web actor itself may be the victim
		}
		return a.State == "running" && a.Epoch > before[name], fmt.Sprintf("%s, epoch %d, %s", a.State, a.Epoch, a.LastError)
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	after, err := r.epochs()
	if err != nil {
		return err
	}
	for _, w := range workers {
		if w.Name != name && after[w.Name] != before[w.Name] {
			return fmt.Errorf("%s was restarted too", w.Name)
		}
	}
	return r.within(ctx, 10*time.Second, "the house is live and coherent again", func() (bool, string) {
		var st api.Status
		if err := r.get("/api/v1/status", &st); err != nil {
			return false, err.Error()
		}
		return st.Live && st.Token.Coherent && st.Token.State == messages.Valid, st.Message
	})
}

// inject strikes an actor. The web actor takes the answer about its own fault
// along when that is not out in a moment; its next incarnation tells, too.
func (r *Rig) inject(name, kind string) error {
	err := r.post("/api/v1/chaos", api.Chaos{Actor: name, Kind: kind})
	var cut *url.Error
	if name == "web" && errors.As(err, &cut) {
		return nil
	}
	return err
}

func (r *Rig) epochs() (map[string]uint64, error) {
	workers, err := r.workers()
	if err != nil {
		return nil, err
	}
	epochs := map[string]uint64{}
	for _, w := range workers {
		epochs[w.Name] = w.Epoch
	}
	return epochs, nil
}

func panicWhileRotating(ctx context.Context, r *Rig) error {
	workers, err := r.workers()
	if err != nil {
		return err
	}
	for _, victim := range workers {
		g, err := r.generation()
		if err != nil {
			return err
		}
		value, err := r.rotate()
		if err != nil {
			return err
		}
		if err := r.inject(victim.Name, "panic"); err != nil {
			return err
		}
		start := time.Now()
		if err := r.byRename(value); err != nil {
			return err
		}
		if err := r.adopted(ctx, g+1, 10*time.Second); err != nil {
			return fmt.Errorf("panic in %s while rotating: %w", victim.Name, err)
		}
		err = r.within(ctx, 10*time.Second, "the victim runs with the new generation", func() (bool, string) {
			var a api.Actor
			if err := r.get("/api/v1/actors/"+victim.Name, &a); err != nil {
				return false, err.Error()
			}
			// An actor that uses no token shows 0.
			return a.State == "running" && a.Epoch > victim.Epoch && (a.Generation == g+1 || a.Generation == 0), fmt.Sprintf("%+v", a)
		})
		if err != nil {
			return fmt.Errorf("panic in %s while rotating: %w", victim.Name, err)
		}
		r.recovery(time.Since(start))
	}
	r.note("%d actors, %d rotations", len(workers), len(workers))
	return r.live(ctx)
}
