package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/gorilla/websocket"

	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// listOrders is the day's order book: what the fault order_update made up.
func (e *Exchange) listOrders(*http.Request) (any, *apiError) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]order{}, e.orders...), nil // never null
}

// countOrder counts a request that places an order; the tags kept are bounded.
func (e *Exchange) countOrder(tag string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.counts.placed[tag]; known || len(e.counts.placed) < 10_000 {
		e.counts.placed[tag]++
	}
}

// placeOrder fills an order at once: the simulator has no order matching.
func (e *Exchange) placeOrder(r *http.Request) (any, *apiError) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.orderUpdate(map[string]any{"variety": r.PathValue("variety"), "tag": r.PostFormValue("tag")})
	return map[string]any{"order_id": e.orders[len(e.orders)-1]["order_id"]}, nil
}

func (e *Exchange) orderHistory(r *http.Request) (any, *apiError) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.IndexFunc(e.orders, func(o order) bool { return o["order_id"] == r.PathValue("id") })
	if i < 0 {
		return nil, badInput("Couldn't find that `order_id`.")
	}
	return []order{e.orders[i]}, nil
}

// order is an order as /orders and the socket show it.
type order map[string]any

// orderUpdate adds or changes an order, as if it had been placed elsewhere, and
// sends it to every socket that is open now.
func (e *Exchange) orderUpdate(given map[string]any) {
	now := e.clock.Now().In(ist.Zone).Format(ist.Layout)
	o := order{
		"placed_by": userID, "order_id": fmt.Sprintf("%d%08d", e.listing.day.Year(), len(e.orders)+1),
		"exchange_order_id": fmt.Sprintf("1%014d", len(e.orders)+1), "parent_order_id": nil,
		"status": "COMPLETE", "status_message": nil, "status_message_raw": nil,
		"order_timestamp": now, "exchange_update_timestamp": now, "exchange_timestamp": now,
		"variety": "regular", "modified": false, "exchange": "NSE", "tradingsymbol": "INFY", "instrument_token": 408065,
		"order_type": "MARKET", "transaction_type": "BUY", "validity": "DAY", "product": "CNC",
		"quantity": 1, "disclosed_quantity": 0, "price": 0, "trigger_price": 0, "average_price": 1480.5,
		"filled_quantity": 1, "pending_quantity": 0, "cancelled_quantity": 0, "market_protection": 0,
		"meta": map[string]any{}, "tag": nil, "guid": "SIM",
	}
	maps.Copy(o, given)
	i := slices.IndexFunc(e.orders, func(old order) bool { return old["order_id"] == o["order_id"] })
	if i >= 0 {
		e.orders[i] = o
	} else {
		e.orders = append(e.orders, o)
	}
	update := maps.Clone(o)
	update["checksum"] = "" // on the socket it is empty
	data, err := json.Marshal(update)
	if err != nil {
		return // came from JSON or from above
	}
	for s := range e.sockets {
		e.push(s, message(websocket.TextMessage, wire.AppendText(nil, wire.Text{Type: wire.TextOrder, Data: data})))
	}
}
