package web

import (
	"slices"
	"testing"

	"kitestring/messages"
)

// What a person must know is in the status' causes, one sentence for each
// reason, and an event each when it comes and when it ends.
func TestNotices(t *testing.T) {
	s := NewStore()
	const reason = "Kite refuses it: PermissionException: Insufficient permission for that call"
	for range 2 {
		s.Apply(messages.InstrumentsResolved{Notices: []string{"the file is not whole: SENSEX has no future"}})
		s.Apply(messages.DataState{What: "quotes", Reason: reason})
		s.Apply(messages.DataState{What: "history of NIFTY's future", Reason: reason})
	}
	want := []string{"What does not come: history of NIFTY's future, quotes: " + reason + ".", "Instruments: the file is not whole: SENSEX has no future."}
	if notes := s.notes(); !slices.Equal(notes, want) {
		t.Errorf("the notes are %q, want %q", notes, want)
	}
	if n := len(s.events); n != 3 {
		t.Errorf("%d events of three things that came two times: %+v", n, s.events)
	}
	s.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTYX", Reason: "no index or share NSE:NIFTYX in the instruments file; no future of it"}}})
	wrong := "What does not come: prices of NIFTYX: no index or share NSE:NIFTYX in the instruments file; correct the underlyings of the configuration file."
	if notes := s.notes(); !slices.Contains(notes, wrong) {
		t.Errorf("a wrong underlying is not named: %q", notes)
	}
	s.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTYX", Index: messages.Instrument{Token: 1}}}})
	for range 2 {
		s.Apply(messages.DataState{What: "quotes"})
		s.Apply(messages.DataState{What: "history of NIFTY's future"})
	}
	if notes := s.notes(); len(notes) != 0 {
		t.Errorf("in the end the notes are %q", notes)
	}
	if n := len(s.events); n != 7 {
		t.Errorf("%d events, want one more for the end of each refusal", n)
	}
}
