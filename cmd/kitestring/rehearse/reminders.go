package rehearse

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"kitestring/messages/ist"
)

// reminders is a webhook that keeps the reminders.
type reminders struct {
	url   string
	mu    sync.Mutex
	slots map[string][]string // by day
	all   []string            // "08:00 login_due", in the order of their arrival
	code  int                 // that messages are refused with; 0: they are taken
}

// refuse has messages refused from now on, with a status; 200: taken.
func (b *reminders) refuse(code int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.code = code; code == http.StatusOK {
		b.code = 0
	}
}

// messages are all that have come.
func (b *reminders) messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

func (r *Rig) receiveReminders() *reminders {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	b := &reminders{url: "http://" + l.Addr().String() + "/reminder", slots: map[string][]string{}}
	server, ended := &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second}, make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	r.cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return b
}

// ServeHTTP takes a reminder.
func (b *reminders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var reminder struct{ Day, Slot, Event string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&reminder); err != nil {
		http.Error(w, "not a reminder", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.code != 0 {
		w.WriteHeader(b.code)
		return
	}
	b.all = append(b.all, reminder.Slot+" "+reminder.Event)
	b.slots[reminder.Day] = append(b.slots[reminder.Day], reminder.Slot)
}

// of are the slots of a day, in the order of their arrival.
func (b *reminders) of(day time.Time) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.slots[day.In(ist.Zone).Format(time.DateOnly)])
}
