package supervisor

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/actors"
)

func metricsTree(d *diary) Spec {
	a := written(d, "a")
	a.Mailbox = testMailbox()
	return group("root", a, group("g", written(d, "b")))
}

func TestMetrics(t *testing.T) {
	var d diary
	registry := prometheus.NewPedanticRegistry()
	inBubble(t, metricsTree(&d), Options{Registerer: registry}, func(t *testing.T, s *Supervisor) {
		before, err := testutil.GatherAndCount(registry)
		if err != nil {
			t.Fatal(err)
		}
		s.tellTest("a", order(crash))
		after(time.Second)
		s.tellTest("a", order(func(actors.Self) { time.Sleep(300 * time.Millisecond) }))
		pushAll(t, s.Inlet("a"), 0, 10)
		if err := s.Inject(Fault{Actor: "b", Kind: FaultExit}); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		problems, err := testutil.GatherAndLint(registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
		now, err := testutil.GatherAndCount(registry)
		if err != nil {
			t.Fatal(err)
		}
		// Only the kind of what has happened is new.
		if now-before != 1 {
			t.Errorf("%d series, were %d", now, before)
		}
		err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP kitestring_actor_messages_total Messages and batches by how the handler ended.
# TYPE kitestring_actor_messages_total counter
kitestring_actor_messages_total{actor="a",result="error"} 0
kitestring_actor_messages_total{actor="a",result="ok"} 2
kitestring_actor_messages_total{actor="a",result="panic"} 1
kitestring_actor_messages_total{actor="b",result="error"} 0
kitestring_actor_messages_total{actor="b",result="ok"} 0
kitestring_actor_messages_total{actor="b",result="panic"} 0
# HELP kitestring_chaos_injections_total Injected faults by kind.
# TYPE kitestring_chaos_injections_total counter
kitestring_chaos_injections_total{actor="b",kind="exit"} 1
# HELP kitestring_supervisor_recovery_seconds From a failure to the next readiness.
# TYPE kitestring_supervisor_recovery_seconds histogram
kitestring_supervisor_recovery_seconds_bucket{actor="a",le="0.05"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="a",le="0.1"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="a",le="0.2"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="a",le="0.5"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="a",le="1"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="a",le="5"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="a",le="+Inf"} 1
kitestring_supervisor_recovery_seconds_sum{actor="a"} 0.05
kitestring_supervisor_recovery_seconds_count{actor="a"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="b",le="0.05"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="b",le="0.1"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="b",le="0.2"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="b",le="0.5"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="b",le="1"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="b",le="5"} 1
kitestring_supervisor_recovery_seconds_bucket{actor="b",le="+Inf"} 1
kitestring_supervisor_recovery_seconds_sum{actor="b"} 0.05
kitestring_supervisor_recovery_seconds_count{actor="b"} 1
# HELP kitestring_supervisor_restarts_total Restarts by reason.
# TYPE kitestring_supervisor_restarts_total counter
kitestring_supervisor_restarts_total{actor="a",reason="error"} 0
kitestring_supervisor_restarts_total{actor="a",reason="hang"} 0
kitestring_supervisor_restarts_total{actor="a",reason="heartbeat"} 0
kitestring_supervisor_restarts_total{actor="a",reason="panic"} 1
kitestring_supervisor_restarts_total{actor="a",reason="requested"} 0
kitestring_supervisor_restarts_total{actor="a",reason="sibling"} 0
kitestring_supervisor_restarts_total{actor="b",reason="error"} 1
kitestring_supervisor_restarts_total{actor="b",reason="hang"} 0
kitestring_supervisor_restarts_total{actor="b",reason="heartbeat"} 0
kitestring_supervisor_restarts_total{actor="b",reason="panic"} 0
kitestring_supervisor_restarts_total{actor="b",reason="requested"} 0
kitestring_supervisor_restarts_total{actor="b",reason="sibling"} 0
`), "kitestring_actor_messages_total", "kitestring_chaos_injections_total", "kitestring_supervisor_recovery_seconds", "kitestring_supervisor_restarts_total")
		if err != nil {
			t.Error(err)
		}
	})
}

func TestSnapshotAsData(t *testing.T) {
	var d diary
	opts := Options{Generation: func(name string) uint64 { return uint64(len(name)) }}
	inBubble(t, metricsTree(&d), opts, func(t *testing.T, s *Supervisor) {
		for range 100 {
			s.tellTest("a", order(func(actors.Self) { time.Sleep(15 * time.Millisecond) }))
			after(50 * time.Millisecond)
		}
		s.tellTest("a", order(crash))
		after(0)
		raw, err := json.Marshal(s.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		var snap struct {
			Actors []map[string]any
		}
		if err := json.Unmarshal(raw, &snap); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range snap.Actors {
			names = append(names, a["name"].(string))
		}
		if got := strings.Join(names, " "); got != "root a g b" {
			t.Errorf("order %q", got)
		}
		a := snap.Actors[1]
		for k, want := range map[string]any{
			"kind": "worker", "parent": "root", "state": "backing_off", "epoch": 1.0, "generation": 1.0,
			"restarts": 0.0, "restarts_in_window": 1.0, "last_error": "panic: crash",
			"handling_p99_seconds": 0.02,
		} {
			if a[k] != want {
				t.Errorf("%s is %v, want %v", k, a[k], want)
			}
		}
		if r := a["messages_per_second"].(float64); r < 19 || r > 21 {
			t.Errorf("%v messages a second, want 20", r)
		}
		if a["next_retry_at"] == nil {
			t.Error("no next_retry_at")
		}
		mailbox := a["mailbox"].(map[string]any)
		for _, k := range []string{"depth", "capacity", "conflated", "dropped"} {
			if _, ok := mailbox[k]; !ok {
				t.Errorf("mailbox without %s", k)
			}
		}
		if g := snap.Actors[2]; g["kind"] != "supervisor" || g["next_retry_at"] != nil {
			t.Errorf("group %v", g)
		}
	})
}
