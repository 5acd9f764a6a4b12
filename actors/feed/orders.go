package feed

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// ordersAgain are the pauses before the order book is asked for again.
var ordersAgain = [...]time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second}

// What a flood of orders may cost. Kite takes a few thousand orders a day, and
// an update is about 1 KB.
const (
	ordersKept     = 10_000   // known at once; the ones known longest go first
	orderMost      = 16 << 10 // bytes of an update
	ordersAtOnce   = 500      // updates passed on in a second; the rest comes from GET /orders
	reconcileAfter = 2 * time.Second
)

// recentKept is how many updates of one order are remembered: each socket
// brings every update.
const recentKept = 16

// orderBook is what is known of the day's orders: enough to tell an update
// from its copy on another socket, and to find what changed while no socket
// was open. Safe for concurrent use.
type orderBook struct {
	mu      sync.Mutex
	known   map[string]*knownOrder // by order id
	ids     []string               // of known, the ones known longest first
	started bool                   // the book has been read once
	flood   logBudget              // of updates
}

type knownOrder struct {
	mark    orderMark
	recent  []uint64  // hashes of the last updates
	updated time.Time // when the last one came
}

// orderMark is what an update changes, as both the socket and GET /orders
// spell it.
type orderMark struct {
	Status    string  `json:"status"`
	Quantity  float64 `json:"quantity"`
	Filled    float64 `json:"filled_quantity"`
	Cancelled float64 `json:"cancelled_quantity"`
	Price     float64 `json:"price"`
	Trigger   float64 `json:"trigger_price"`
}

func (b *orderBook) order(id string) *knownOrder {
	if b.known == nil {
		b.known = map[string]*knownOrder{}
	}
	o := b.known[id]
	if o == nil {
		o = &knownOrder{}
		b.known[id] = o
		if b.ids = append(b.ids, id); len(b.ids) > ordersKept {
			delete(b.known, b.ids[0])
			b.ids = b.ids[1:]
		}
	}
	return o
}

// update takes an update from a socket. news: no other socket has brought it.
// missed: there are too many at once; it is left to GET /orders.
func (b *orderBook) update(id string, raw []byte, now time.Time) (news, missed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	hash := maphash.Bytes(seed, raw)
	if o := b.known[id]; o != nil && slices.Contains(o.recent, hash) {
		return false, false
	}
	if ok, _ := b.flood.take(now); !ok {
		return false, true
	}
	o := b.order(id)
	if o.recent = append(o.recent, hash); len(o.recent) > recentKept {
		o.recent = o.recent[1:]
	}
	o.updated = now
	o.mark = orderMark{}
	_ = json.Unmarshal(raw, &o.mark) // what cannot be read compares as zero: reported once more at worst
	return true, false
}

// reconcile takes the order book as it was when asked, and answers what is new
// in it. The first time it only learns: orders of before our start are not
// news. What is dated later, since being the exchange's time of the
// question, is left to the socket or, if that has ended before the answer was
// here, to the next time.
func (b *orderBook) reconcile(rows []kite.Order, asked, since time.Time) (missed []messages.OrderUpdated) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.started
	b.started = true
	listed := make(map[string]bool, len(rows))
	for _, row := range rows {
		listed[row.OrderID] = true
		var mark orderMark
		if row.OrderID == "" || json.Unmarshal(row.Raw, &mark) != nil {
			continue
		}
		if first && !changedAt(row).Before(since.Truncate(time.Second)) {
			continue
		}
		o := b.order(row.OrderID)
		if o.mark == mark || o.updated.After(asked) {
			continue
		}
		o.mark, o.updated = mark, asked
		if !first {
			missed = append(missed, messages.OrderUpdated{OrderID: row.OrderID, Status: mark.Status, Raw: row.Raw, At: asked})
		}
	}
	for id, o := range b.known {
		if !listed[id] && asked.Sub(o.updated) > 24*time.Hour {
			delete(b.known, id) // of another day
		}
	}
	b.ids = slices.DeleteFunc(b.ids, func(id string) bool { return b.known[id] == nil })
	return missed
}

// changedAt is the exchange's time of an order's last change, zero for one that
// does not say.
func changedAt(row kite.Order) (at time.Time) {
	var times struct {
		Order    string `json:"order_timestamp"`
		Exchange string `json:"exchange_update_timestamp"`
	}
	_ = json.Unmarshal(row.Raw, &times)
	for _, text := range []string{times.Order, times.Exchange} {
		if t, err := time.ParseInLocation(ist.Layout, text, ist.Zone); err == nil && t.After(at) {
			at = t
		}
	}
	return at
}

// reconcile asks for the order book after no socket was open for a while.
func (f *Feed) reconcile(g messages.Generation) {
	session, ok := f.session(g)
	if !ok || f.cfg.Web == nil || f.cfg.Exchange.APIURL == "" {
		return
	}
	if f.reconciling {
		f.reconcileAgain = true
		return
	}
	f.reconciling = true
	f.self.Go("order book", func(ctx context.Context) error {
		defer f.self.Tell(reconciled{g})
		for attempt := 0; ; attempt++ {
			if adopted := f.cfg.Tokens.Current().Adopted; adopted.Generation > session.Generation {
				session = adopted
			}
			err := f.askOrders(ctx, session)
			if ctx.Err() != nil {
				return nil
			}
			if err == nil {
				f.self.Send(f.cfg.Web, messages.DataState{What: "order book", At: f.cfg.Clock.Now()})
				return nil
			}
			refused, last := kite.KindOf(err) == kite.TokenRefused, attempt == len(ordersAgain)
			if refused {
				f.self.Send(f.cfg.Auth, messages.TokenDoubted{Generation: session.Generation})
			}
			if last || kite.KindOf(err) == kite.Forbidden { // another question may help, but a person should know now
				f.self.Send(f.cfg.Web, messages.DataState{What: "order book", Reason: kite.Reason(err), At: f.cfg.Clock.Now()})
			}
			if refused || last {
				f.self.Log().Warn("order updates may be missing", "generation", session.Generation, "error", err)
				return nil
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(ordersAgain[attempt]):
			}
		}
	})
}

// askOrders asks once and passes on what was missed. The use of the token is
// not noted: what the feed works with is its sockets' generation.
func (f *Feed) askOrders(ctx context.Context, session messages.Session) error {
	client := kite.New(f.cfg.Exchange, session, func(messages.Generation) {})
	asked, since := time.Now(), f.cfg.Clock.Now()
	rows, err := client.Orders(ctx)
	if err != nil {
		return err
	}
	for i, update := range f.cfg.State.orders.reconcile(rows, asked, since) {
		if i > 0 && i%ordersAtOnce == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
		f.sendOrder(update)
	}
	return nil
}

// sendOrder sends an order update to everybody who shows or relays orders.
func (f *Feed) sendOrder(update messages.OrderUpdated) {
	for _, pid := range []*actor.PID{f.cfg.Web, f.cfg.Gateway} {
		if pid != nil {
			f.self.Send(pid, update)
		}
	}
}
