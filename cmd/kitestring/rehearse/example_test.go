package rehearse

import (
	"strings"
	"testing"
	"time"

	"kitestring/actors/web/api"
)

// TestExampleDrill shows what a drill is: a declaration whose steps use the
// rig. In a file of this package, var _ = register(Drill{...}) adds it to
// "kitestring drill list" and to "make drills"; nothing else is to be edited.
func TestExampleDrill(t *testing.T) {
	example := Drill{
		Name: "example", Topic: Actors, Short: true,
		Inject: "the actor that computes PCR panics",
		Hold:   "it runs again within a second, and nothing is restarted with it",
		Steps: func(r *Rig) {
			before, epoch := r.workers(), r.actor("pcr").Epoch
			start := time.Now()
			r.chaos(api.Chaos{Actor: "pcr", Kind: "panic"})
			r.within(5*time.Second, "pcr runs again", func() (bool, any) {
				a := r.actor("pcr")
				return a.State == "running" && a.Epoch > epoch, a
			})
			r.recovery(start)
			r.untouched(before, "pcr")
			r.note("pcr was restarted alone")
		},
	}
	if result := pass(t, example, Options{}); result.RecoveryMS == nil || !strings.Contains(result.Detail, "restarted alone") {
		t.Errorf("%+v", result)
	}
}
