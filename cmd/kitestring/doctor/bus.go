package doctor

import (
	"cmp"
	"context"
	"fmt"
)

// lookAtBus checks that what is published arrives. Only the running server knows
// its configuration.
func (e *examination) lookAtBus(context.Context) {
	if e.running == nil || e.running.Bus == nil {
		e.note(Bus, Skipped, "no server that publishes to other machines runs here", "")
		return
	}
	b := e.running.Bus
	var lost uint64
	for _, n := range b.Lost {
		lost += n
	}
	switch {
	case b.State == "connecting":
		detail, fix := sentence(b.Reason)
		e.note(Bus, Warned, detail, cmp.Or(fix, "kitestring status says more"))
	case b.Lost["queue_full"]+b.Lost["refused"] > 0:
		e.note(Bus, Warned, fmt.Sprintf("%s did not take %d messages since the server's start", b.Bus, lost), "see KitestringBusLoses in the runbook: kitestring assets print runbook")
	case b.Cut > 0:
		e.note(Bus, Warned, fmt.Sprintf("%d consumers were cut off because they took too little", b.Cut), "read in a thread of its own there; see KitestringBusConsumerCut in the runbook")
	default:
		detail := b.State + " to " + b.Bus
		if b.Addr != "" {
			detail += " at " + b.Addr
		}
		if b.Reason != "" {
			detail += ": " + b.Reason
		}
		e.note(Bus, OK, detail, "")
	}
}
