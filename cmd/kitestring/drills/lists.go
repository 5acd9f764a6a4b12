package drills

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

func recycledInstrument(ctx context.Context, r *Rig) error {
	underlyings, err := r.underlyings()
	if err != nil {
		return err
	}
	was := underlyings[0].Future
	before, err := r.workers()
	if err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultRecycled, InstrumentToken: was.Token}); err != nil {
		return err
	}
	start := time.Now()
	if err := r.clock(map[string]any{"now": at(2026, time.March, 12, 9, 14, 55)}); err != nil {
		return err
	}
	err = r.within(ctx, 20*time.Second, "the future is followed under its new token", func() (bool, string) {
		if underlyings, err = r.underlyings(); err != nil {
			return false, err.Error()
		}
		is := underlyings[0].Future
		return is.Tradingsymbol == was.Tradingsymbol && is.Token != was.Token, fmt.Sprintf("%+v", is)
	})
	if err != nil {
		return err
	}
	err = r.within(ctx, 20*time.Second, "the stranger is not subscribed to, the future is", func() (bool, string) {
		st, err := r.exchange()
		if err != nil {
			return false, err.Error()
		}
		return st.Subscriptions[fmt.Sprint(was.Token)] == 0 && st.Subscriptions[fmt.Sprint(underlyings[0].Future.Token)] > 0, fmt.Sprintf("%v", st.Subscriptions)
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	if !r.logged("instrument token recycled", fmt.Sprint(was.Token), "RECYCLED", was.Tradingsymbol) {
		return errors.New("the log does not tell of the recycled instrument token")
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	_, err = r.untouched(before, "")
	return err
}

func orderUpdatesLost(ctx context.Context, r *Rig) error {
	last, err := r.lastEvent()
	if err != nil {
		return err
	}
	place := func(id, status string) error {
		return r.fault(simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": id, "status": status, "filled_quantity": len(status)}})
	}
	if err := place("A", "OPEN"); err != nil {
		return err
	}
	if err := r.happens(ctx, 5*time.Second, "order", last, "order A", "OPEN"); err != nil {
		return err
	}
	// Until the orders are placed, however long that takes: no socket may see them.
	if err := r.fault(simulator.Fault{Kind: simulator.FaultServerError}); err != nil {
		return err
	}
	if err := r.fault(simulator.Fault{Kind: simulator.FaultDrop}); err != nil {
		return err
	}
	if _, err := r.feedIs(ctx, 5*time.Second, messages.Backoff); err != nil {
		return err
	}
	for _, o := range [][2]string{{"A", "COMPLETE"}, {"B", "OPEN"}, {"B", "CANCELLED"}, {"C", "REJECTED"}} {
		if err := place(o[0], o[1]); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := r.lift(); err != nil {
		return err
	}
	want := []string{"order A: OPEN", "order A: COMPLETE", "order B: CANCELLED", "order C: REJECTED"}
	var told []api.Event
	err = r.within(ctx, 15*time.Second, "the orders are reconciled", func() (bool, string) {
		told, err = r.events("order", last)
		return err == nil && len(told) >= len(want), fmt.Sprintf("%+v, %v", told, err)
	})
	if err != nil {
		return err
	}
	r.recovery(time.Since(start))
	if err := place("D", "OPEN"); err != nil {
		return err
	}
	if err := r.happens(ctx, 5*time.Second, "order", last, "order D", "OPEN"); err != nil {
		return err
	}
	if told, err = r.events("order", last); err != nil {
		return err
	}
	for i, text := range append(want, "order D: OPEN") {
		if len(told) <= i || told[i].Text != text {
			return fmt.Errorf("told %+v, want %q at %d", told, text, i)
		}
	}
	if len(told) != len(want)+1 {
		return fmt.Errorf("told too much: %+v", told)
	}
	return r.live(ctx)
}
