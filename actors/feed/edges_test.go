package feed

import (
	"context"
	"testing"
	"time"

	"kitestring/messages"
)

// The older socket dies before both have met: the ledger shows what neither
// brought.
func TestSwapThatDidNotMeetShowsAGap(t *testing.T) {
	_, table, sink := testTable(messages.ModeFull, 257)
	take(t, table, 1, packet(messages.ModeFull, 257, 1))
	table.join(context.Background(), 2, 2, aDay)
	take(t, table, 2, packet(messages.ModeFull, 257, 5))
	table.leave(1, messages.GapReconnect, time.Now())
	gaps, why := table.takeGaps()
	if len(gaps) != 1 || why != messages.GapSwap || gaps[0].VolumeWhile != 4 || sink.ticks != 2 {
		t.Errorf("%+v because of %s, %d ticks", gaps, why, sink.ticks)
	}
}

// A receipt is closed once, and a rejected one is not adopted.
func TestReceiptIsClosedOnce(t *testing.T) {
	s := NewStore()
	for g, result := range map[messages.Generation]string{1: adopted, 2: rejected} {
		s.openReceipt(messages.TokenChanged{Session: session(g, "A"), ChangedAt: time.Now()}, false)
		if result == rejected {
			s.rejectReceipt(g, "refused")
		} else if _, closed := s.closeReceipt(g, time.Now(), 1, false, nil); !closed {
			t.Fatal("not closed")
		}
		if r, again := s.closeReceipt(g, time.Now(), 1, false, nil); again {
			t.Errorf("closed again: %+v", r)
		}
	}
}

// A server that starts with yesterday's file has not moved to a new token.
func TestAStartIsNoRotation(t *testing.T) {
	s := NewStore()
	if changed := s.openReceipt(messages.TokenChanged{Session: session(1, "A"), Source: messages.ChangeAtStart, ChangedAt: time.Now().Add(-time.Hour)}, false); changed != nil {
		t.Errorf("a start gave %+v", changed)
	}
	if r, ok := s.stamp(1, time.Now(), func(r *messages.Rotation) **float64 { return &r.FirstFrameMS }); ok || len(s.Rotations()) != 0 {
		t.Errorf("a start is on a receipt: %+v", r)
	}
	if s.openReceipt(messages.TokenChanged{Session: session(2, "B"), Source: messages.ChangeByEvent, ChangedAt: time.Now()}, true) == nil {
		t.Error("a new token has no receipt")
	}
}

// Each socket brings every order update.
func TestOrderUpdateOnTwoSockets(t *testing.T) {
	b := orderBook{flood: logBudget{most: 9, per: time.Second}}
	raw := []byte(`{"order_id":"1","status":"OPEN"}`)
	if news, missed := b.update("1", raw, time.Now()); !news || missed {
		t.Error("the first one is news")
	}
	if news, missed := b.update("1", raw, time.Now()); news || missed {
		t.Error("its copy is none")
	}
}

// A rejection that was Kite's mistake is taken back by the next verdict.
func TestRejectionIsTakenBack(t *testing.T) {
	r := newRig(t)
	r.offer(1, "A")
	r.streaming(1)
	r.actor.Tell(messages.TokenVerdict{Generation: 1, Verdict: messages.VerdictRejected, Reason: "a mistake", At: time.Now()})
	r.until("the rejection", func() bool { return r.state.isRejected(1) })
	r.venue.drop()
	r.until("parked", func() bool { return r.state.Stats().State == messages.Unauthorised })
	r.actor.Tell(messages.TokenVerdict{Generation: 1, Verdict: messages.VerdictValid, At: time.Now()})
	r.streaming(1)
}
