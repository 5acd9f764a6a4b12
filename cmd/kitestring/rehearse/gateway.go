package rehearse

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
)

var _ = register(Drill{
	Name: "gateway-rotate", Topic: Gateway, Short: true, Setup: Setup{Gateway: true},
	Inject: "20 tokens while ten programs stream through the gateway and ask its REST API ten times a second",
	Hold:   "no program loses a tick, gets one again, is closed or sees a TokenException",
	Steps: func(r *Rig) {
		programs := r.programs(10)
		stop := r.asking(programs[0].key, "/orders", 100*time.Millisecond) // never cached
		for range 20 {
			if n := r.receipt(r.rotated(5 * time.Second)).Clients; n == nil || *n != len(programs) {
				failf("the receipt does not count %d sockets of programs", len(programs))
			}
			r.pause(200 * time.Millisecond) // ticks and requests between two tokens
		}
		asked, refused := stop()
		for _, p := range programs {
			p.untroubled()
		}
		if len(refused) > 0 {
			failf("%d of %d requests: %s", len(refused), asked, refused[0])
		}
		r.note("20 rotations, %d ticks to ten programs, %d requests", total(programs), asked)
	},
})

var _ = register(Drill{
	Name: "gateway-slow-client", Topic: Gateway, Setup: Setup{Gateway: true, Rate: 20_000}, Limit: 2 * time.Minute,
	Inject: "one of ten programs stops reading",
	Hold:   "it is conflated, and dropped after 10 s without a byte taken; the nine others lose nothing",
	Steps: func(r *Rig) {
		programs := r.programs(10)
		slow := programs[0]
		slow.StopReading()
		start := time.Now()
		// The program's own kernel takes some megabytes before nothing goes any more.
		r.within(20*time.Second, "ticks for the program that does not read are conflated", func() (bool, any) {
			c := r.gatewayClient(slow.name)
			return c.Conflated > 0, c
		})
		full := time.Now()
		r.within(12*time.Second, "it is dropped 10 s after it took its last byte", func() (bool, any) {
			c := r.gatewayClient(slow.name)
			return c.Sockets == 0, c
		})
		if took := time.Since(full); took < 7*time.Second {
			failf("it was dropped after %s already", took)
		}
		r.recovery(start)
		if c := r.gatewayClient(slow.name); c.Conflated == 0 {
			failf("nothing was conflated for it: %+v", c)
		}
		for _, p := range programs[1:] {
			p.untroubled()
		}
		r.note("dropped %.1f s after it stopped reading, %.1f s after nothing went any more; %d ticks to the others", time.Since(start).Seconds(), time.Since(full).Seconds(), total(programs[1:]))
	},
})

var _ = register(Drill{
	Name: "gateway-panic", Topic: Gateway, Short: true, Setup: Setup{Gateway: true},
	Inject: "the gateway actor panics",
	Hold:   "its port stays; a program that connects again streams again; the feed and every other actor run on",
	Steps: func(r *Rig) {
		p := r.program("first")
		before := r.workers()
		start := time.Now()
		r.chaos(api.Chaos{Actor: "gateway", Kind: "panic"})
		r.within(10*time.Second, "the program's connection ends", func() (bool, any) { return p.Closed(), "still open" })
		if p.CloseFrames() != 0 {
			failf("the gateway sent a Close frame, which ends some clients for good")
		}
		again := r.connect("again", p.key)
		r.within(10*time.Second, "the program streams again", func() (bool, any) { return again.Ticks() > 0, "no tick" })
		r.recovery(start)
		r.untouched(before, "gateway")
	},
})

var _ = register(Drill{
	Name: "gateway-six-o-clock", Topic: Gateway, Setup: Setup{Gateway: true, ManualLogin: true, Prepare: withLiveToken},
	Inject: "Kite ends the token in the morning; a person logs in",
	Hold:   "programs stay connected; their requests are answered that they wait for the login, never that their token is wrong, and after it with data",
	Steps: func(r *Rig) {
		p := r.program("early")
		r.call(http.MethodPost, r.sim, "/sim/v1/token", map[string]string{"action": "expire"})
		r.validate()
		r.within(20*time.Second, "a request is answered that it waits for the login", func() (bool, any) {
			code, body := r.through(p.key, http.MethodGet, "/orders", "")
			if strings.Contains(body, "TokenException") {
				failf("a program saw a TokenException: %s", body)
			}
			return code == http.StatusServiceUnavailable && strings.Contains(body, "/login"), fmt.Sprint(code, " ", body)
		})
		start := time.Now()
		r.login()
		r.within(20*time.Second, "requests are answered again", func() (bool, any) {
			code, body := r.through(p.key, http.MethodGet, "/orders", "")
			return code == http.StatusOK, fmt.Sprint(code, " ", body)
		})
		r.recovery(start)
		p.untroubled()
	},
})

var _ = register(Drill{
	Name: "gateway-budget", Topic: Gateway, Setup: Setup{Gateway: true}, Limit: 2 * time.Minute,
	Inject: "thirty programs ask for quotes and orders as fast as they can",
	Hold:   "each gets an answer in its turn or Kite's 429 within 7 s; the server's own check of the token comes through at once",
	Steps: func(r *Rig) {
		var asking sync.WaitGroup
		var answered, limited atomic.Int64
		var slowest atomic.Int64
		var odd sync.Map
		until := time.Now().Add(15 * time.Second)
		for i := range 30 {
			key := r.addClient(fmt.Sprint("p", i), "data", "account")
			asking.Go(func() {
				for n := 0; time.Now().Before(until); n++ {
					path := "/orders" // shares its limit with the server's own check
					if i%3 == 0 {
						path = fmt.Sprintf("/quote?i=NSE:NIFTY+50&i=%d-%d", i, n)
					}
					began := time.Now()
					code, body := r.through(key, http.MethodGet, path, "")
					slowest.Store(max(slowest.Load(), int64(time.Since(began))))
					switch code {
					case http.StatusOK:
						answered.Add(1)
					case http.StatusTooManyRequests:
						limited.Add(1)
					default:
						odd.Store(fmt.Sprint(code, " ", body), true)
					}
				}
			})
		}
		r.pause(3 * time.Second)
		before := r.exchange().Requests.Answered["profile"]
		start := time.Now()
		r.validate()
		r.within(1500*time.Millisecond, "the server's own check is asked at once", func() (bool, any) {
			n := r.exchange().Requests.Answered["profile"]
			return n > before, n
		})
		r.recovery(start)
		asking.Wait()
		odd.Range(func(what, _ any) bool { failf("another answer: %s", what); return false })
		if answered.Load() == 0 || time.Duration(slowest.Load()) > 7*time.Second {
			failf("%d answered, %d limited, the slowest after %s", answered.Load(), limited.Load(), time.Duration(slowest.Load()))
		}
		r.note("%d answered, %d limited, the slowest after %s", answered.Load(), limited.Load(), time.Duration(slowest.Load()).Round(time.Millisecond))
	},
})

var _ = register(Drill{
	Name: "gateway-orders-once", Topic: Gateway, Setup: Setup{Gateway: true, GatewayOrders: true}, Limit: 2 * time.Minute,
	Inject: "orders under every fault of Kite's REST, a restart of the gateway and a rotation",
	Hold:   "no order reaches Kite more than once, and each has an answer in Kite's envelope",
	Steps: func(r *Rig) {
		key := r.addClient("trader", "data", "orders")
		sent := 0
		place := func(what string) {
			sent++
			code, body := r.through(key, http.MethodPost, "/orders/regular", fmt.Sprintf("tag=n%d&quantity=1", sent))
			if code == 0 || !strings.Contains(body, `"status"`) {
				failf("%s: %d %s", what, code, body)
			}
			if n := r.exchange().Requests.Placed[fmt.Sprint("n", sent)]; n > 1 {
				failf("%s: the order reached Kite %d times", what, n)
			}
		}
		place("no fault")
		for _, kind := range []simulator.FaultKind{
			simulator.FaultRESTTooMany, simulator.FaultRESTBadGateway, simulator.FaultRESTTimeout, simulator.FaultRESTRefuse, simulator.FaultRESTError,
		} {
			r.step(string(kind), func() {
				r.fault(simulator.Fault{Kind: kind, Path: "/orders"})
				place(string(kind))
				r.lift(kind)
			})
		}
		stop := r.meanwhile(func(r *Rig) { r.rotated(5 * time.Second) })
		place("a rotation")
		stop()
		r.restart("gateway")
		place("a restart")
		for tag, n := range r.exchange().Requests.Placed {
			if n > 1 {
				failf("order %s reached Kite %d times", tag, n)
			}
		}
		r.note("%d orders, none more than once", sent)
	},
})

var _ = register(Drill{
	Name: "gateway-capacity", Topic: Gateway, Short: true,
	Setup:  Setup{Gateway: true, Prepare: func(r *Rig) { r.config.Reloadable.GatewayInstruments = 50 }},
	Inject: "a program subscribes to more instruments than there is room for",
	Hold:   "a text says so and it gets those that have room; a second program shares them",
	Steps: func(r *Rig) {
		greedy := r.program("greedy")
		r.within(5*time.Second, "the text that says so", func() (bool, any) {
			text := greedy.ErrorText()
			return strings.Contains(text, `"type":"error"`) && strings.Contains(text, "together take 50"), text
		})
		second := r.program("second")
		for _, p := range []*client{greedy, second} {
			r.within(5*time.Second, p.name+" gets what has room", func() (bool, any) {
				n := r.gatewayClient(p.name).Instruments["full"]
				return n == 50, n
			})
			p.untroubled()
		}
		r.within(5*time.Second, "no more than these are subscribed", func() (bool, any) {
			used, _ := r.metrics().sum("kitestring_gateway_capacity", "kind", "used")
			return used == 50, used
		})
	},
})
