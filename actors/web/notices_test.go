package web

import (
	"strings"
	"testing"

	"kitestring/messages"
)

func TestNotices(t *testing.T) {
	s := NewStore()
	for range 2 {
		s.Apply(messages.InstrumentsResolved{Notices: []string{"the file is not whole: SENSEX has no future"}})
		s.NoteRefusal("quote", "PermissionException: Insufficient permission for that call")
	}
	notes := strings.Join(s.notes(), "\n")
	for _, want := range []string{"Kite refuses quote requests: PermissionException: Insufficient permission for that call.", "Instruments: the file is not whole: SENSEX has no future."} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes lack %q:\n%s", want, notes)
		}
	}
	if n := len(s.events); n != 2 {
		t.Errorf("%d events of two facts that came two times: %+v", n, s.events)
	}
	s.Apply(messages.InstrumentsResolved{})
	s.NoteServed("quote")
	s.NoteServed("quote")
	if notes := s.notes(); len(notes) != 0 {
		t.Errorf("when all is well the notes are %q", notes)
	}
	if n := len(s.events); n != 3 {
		t.Errorf("%d events, want one more for the end of the refusal", n)
	}
}
