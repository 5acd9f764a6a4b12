package simulator

import (
	"net/http"
	"slices"
)

// listOrders is the day's order book: what the fault order_update made up.
func (e *Exchange) listOrders(*http.Request) (any, *apiError) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]order{}, e.orders...), nil // never null
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
