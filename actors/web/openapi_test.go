package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// description is what the test needs of the OpenAPI document.
type description struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema any } `json:"content"`
		} `json:"responses"`
		RequestBody *struct {
			Content map[string]struct{ Schema any } `json:"content"`
		} `json:"requestBody"`
		Parameters []struct{ Name, In string } `json:"parameters"`
		Security   []map[string]any            `json:"security"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]any `json:"schemas"`
	} `json:"components"`
}

// check holds a decoded JSON value against a schema and names what differs.
// It knows the words that the document uses, and fails at any other.
func (d *description) check(at string, schema, value any) []string {
	words := schema.(map[string]any)
	if ref, ok := words["$ref"].(string); ok {
		target, known := d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
		if !known {
			return []string{at + ": no schema " + ref}
		}
		return d.check(at, target, value)
	}
	if options, ok := words["anyOf"].([]any); ok {
		var faults []string
		for _, c := range options {
			found := d.check(at, c, value)
			if found == nil {
				return nil
			}
			faults = append(faults, found...)
		}
		return faults
	}
	wrong := func() []string { return []string{fmt.Sprintf("%s: %v is no %v", at, value, words["type"])} }
	switch words["type"] {
	case nil:
		return nil
	case "null":
		if value != nil {
			return wrong()
		}
	case "string":
		s, ok := value.(string)
		if !ok {
			return wrong()
		}
		if words["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339, s); err != nil {
				return []string{at + ": " + err.Error()}
			}
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong()
		}
	case "number", "integer":
		n, ok := value.(float64)
		if !ok || words["type"] == "integer" && n != math.Trunc(n) {
			return wrong()
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return wrong()
		}
		var faults []string
		for i, v := range list {
			faults = append(faults, d.check(fmt.Sprint(at, "[", i, "]"), words["items"], v)...)
		}
		return faults
	case "object":
		object, ok := value.(map[string]any)
		if !ok {
			return wrong()
		}
		return d.checkObject(at, words, object)
	default:
		return []string{fmt.Sprintf("%s: the test does not know the type %v", at, words["type"])}
	}
	return nil
}

func (d *description) checkObject(at string, words, object map[string]any) (faults []string) {
	properties, _ := words["properties"].(map[string]any)
	required, _ := words["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			faults = append(faults, fmt.Sprintf("%s: %s is missing", at, name))
		}
	}
	for name, v := range object {
		switch schema, known := properties[name]; {
		case known:
			faults = append(faults, d.check(at+"."+name, schema, v)...)
		case words["additionalProperties"] == false:
			faults = append(faults, fmt.Sprintf("%s: %s is not described", at, name))
		default:
			faults = append(faults, d.check(at+"."+name, words["additionalProperties"], v)...)
		}
	}
	return faults
}

// asked is a request to each route; a route without one fails the test.
var asked = map[string]struct{ path, body string }{
	"GET /api/v1/actors/{name}":                        {"/api/v1/actors/feed", ""},
	"GET /api/v1/readings/{underlying}":                {"/api/v1/readings/NIFTY", ""},
	"GET /api/v1/readings/{underlying}/{kind}":         {"/api/v1/readings/NIFTY/pcr", ""},
	"POST /api/v1/readings/{underlying}/direct":        {"/api/v1/readings/NIFTY/direct", ""},
	"GET /api/v1/chain/{underlying}":                   {"/api/v1/chain/NIFTY", ""},
	"GET /api/v1/chain/{underlying}/day":               {"/api/v1/chain/NIFTY/day", ""},
	"GET /api/v1/recorded":                             {"/api/v1/recorded?from=2026-11-27T09:15:00%2B05:30&to=1795751101000000000&shard=1", ""},
	"GET /api/v1/bars/{underlying}":                    {"/api/v1/bars/NIFTY?interval=1m&source=future", ""},
	"POST /api/v1/actors/{name}/restart":               {"/api/v1/actors/feed/restart", ""},
	"POST /api/v1/chaos":                               {"/api/v1/chaos", `{"actor":"feed","kind":"hang","for_ms":5}`},
	"POST /api/v1/session":                             {"/api/v1/session", `{"admin_token":"` + adminToken + `"}`},
	"POST /api/v1/login/complete":                      {"/api/v1/login/complete", `{"pasted":"good"}`},
	"POST /api/v1/exchange/faults":                     {"/api/v1/exchange/faults", `{"kind":"drop"}`},
	"POST /api/v1/replay":                              {"/api/v1/replay", `{"speed":60}`},
	"GET /api/v1/clients/{name}":                       {"/api/v1/clients/strategy", ""},
	"GET /runbook/{alert}":                             {"/runbook/KitestringDown", ""},
	"POST /api/v1/alerts/test":                         {"/api/v1/alerts/test", `{"name":"high"}`},
	"POST /api/v1/clients":                             {"/api/v1/clients", `{"name":"other","scopes":["data"]}`},
	"POST /api/v1/peer/invite":                         {"/api/v1/peer/invite", `{"addr":"10.0.0.5:8440"}`},
	"POST /api/v1/peer/join":                           {"/api/v1/peer/join", `{"code":"ksp1-code"}`},
	"DELETE /api/v1/clients/{name}":                    {"/api/v1/clients/strategy", ""},
	"GET /api/v1/readings/{underlying}/{kind}/history": {"/api/v1/readings/NIFTY/pcr/history", ""},
}

const adminToken = "an-admin-token-of-more-than-32-characters"

// rich is a fakes with something in every answer.
type rich struct{ *fakes }

func (r rich) Rotations() []messages.Rotation {
	ms := 1.5
	return []messages.Rotation{{Generation: 2, Source: messages.ChangeByEvent, ChangedAt: time.Now(), DetectedMS: &ms, TotalMS: &ms, Shards: 1, Result: "adopted"}}
}

func (r rich) Gaps() []messages.GapDetected {
	return []messages.GapDetected{{Reason: messages.GapSwap, Generation: 2, At: time.Now(), Gaps: []messages.Gap{{InstrumentToken: 1, BlindSeconds: .5}}}}
}

// rerun is a replay.
type rerun struct{}

func (rerun) Status() api.StatusReplay { return api.StatusReplay{Day: "2026-11-27", At: time.Now()} }

func (rerun) SetSpeed(api.ReplaySpeed) error { return nil }

// recorder is a recorder that has recorded.
func recorder() api.StatusRecord {
	now := time.Now()
	return api.StatusRecord{State: "recording", Reason: "x", Since: &now, LastWrite: &now, Oldest: &now}
}

// mimic is a simulated exchange that only remembers.
type mimic struct{ did []string }

func (m *mimic) Inject(kind string, d time.Duration) error {
	if kind != "drop" {
		return &web.NameError{What: "kind of fault", Name: kind, Known: []string{"drop"}}
	}
	m.did = append(m.did, fmt.Sprint(kind, " ", d))
	return nil
}

func (m *mimic) Lift() { m.did = append(m.did, "lift") }

func (m *mimic) Rotate(context.Context) (string, error) {
	m.did = append(m.did, "rotate")
	return "0011aabb", nil
}

// programs is a gateway with one client.
type programs struct{}

func (programs) Status() api.StatusGateway {
	return api.StatusGateway{Addr: "127.0.0.1:8430", Clients: 1, Sockets: 1, Instruments: 3, Capacity: 5500, Budget: []api.BudgetUse{}}
}

func (programs) Clients() []api.Client {
	since := time.Now()
	return []api.Client{{Name: "strategy", Scopes: []string{"data"}, Sockets: 1, Instruments: map[string]int{"full": 3}, Since: &since}}
}

func (programs) Add(name string, scopes []string) (api.ClientKey, error) {
	return api.ClientKey{Name: name, Key: strings.Repeat("k", 32), Scopes: scopes, Addr: "127.0.0.1:8430"}, nil
}

func (programs) Revoke(name string) error {
	if name != "strategy" {
		return &web.NameError{What: "client", Name: name, Known: []string{"strategy"}}
	}
	return nil
}

func describe(t *testing.T, addr string) *description {
	t.Helper()
	_, body := request(t, "GET", "http://"+addr+"/api/v1/openapi.json", "")
	var doc description
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	return &doc
}

func TestEveryAnswerIsAsDescribed(t *testing.T) {
	next := time.Now()
	h := &fakes{coherent: true, admin: messages.NewSecret(adminToken), actors: []api.Actor{
		{Name: "root", Kind: "supervisor"}, {Name: "feed", Kind: "worker", State: "backing_off", NextRetryAt: &next, LastError: "panic"},
	}}
	exchange := &mimic{}
	store, _, addr := open(t, h, func(cfg *web.Config) {
		cfg.Feed, cfg.Exchange, cfg.Gateway = rich{h}, exchange, programs{}
		cfg.Replay, cfg.Record = rerun{}, recorder
	})
	store.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTY", Chain: []messages.Instrument{{Token: 3}}}}})
	store.Apply(messages.Reading{Kind: "pcr", Underlying: "NIFTY", Status: messages.Active, Values: map[string]any{"pcr": 1.2, "walls": []int{1}}})
	store.Apply(messages.ChainUpdated{Chain: someChain("2023-11-16"), Nearest: true})
	store.Apply(messages.AuthChanged{Adopted: messages.TokenStatus{Generation: 2, State: messages.Valid, Since: next}, Candidate: &messages.TokenStatus{Generation: 3}, ExpiryHint: next})
	store.Apply(messages.LoginEnded{Result: messages.LoginOK, Reason: "in", Fingerprint: "0a1b2c3d", At: next})
	store.Apply(messages.GapDetected{Reason: messages.GapReconnect, Gaps: make([]messages.Gap, 3), At: next})
	store.Apply(messages.PhaseChanged{Phase: messages.Open, At: next, Next: next})
	doc := describe(t, addr)
	checked := 0
	for path, operations := range doc.Paths {
		for method, op := range operations {
			name := strings.ToUpper(method) + " " + path
			ask, special := asked[name]
			if !special {
				if strings.Contains(path, "{") || op.RequestBody != nil {
					t.Errorf("%s: the test has no request for it", name)
					continue
				}
				ask.path = path
			}
			if path == "/api/v1/stream" {
				continue // never ends; see the stream's own tests
			}
			headers := []string{}
			if op.Security != nil {
				headers = []string{"Authorization", "Bearer " + adminToken}
			}
			if op.RequestBody != nil {
				var sent any
				if err := json.Unmarshal([]byte(ask.body), &sent); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, fault := range doc.check(name+" body", op.RequestBody.Content["application/json"].Schema, sent) {
					t.Error(fault)
				}
			}
			resp, body := request(t, strings.ToUpper(method), "http://"+addr+ask.path, ask.body, headers...)
			described, ok := op.Responses[strconv.Itoa(resp.StatusCode)]
			if !ok {
				t.Errorf("%s: answers %d, which is not described: %s", name, resp.StatusCode, body)
				continue
			}
			checked++
			kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
			if described.Content == nil {
				if body != "" {
					t.Errorf("%s: answers %q where nothing is described", name, body)
				}
				continue
			}
			media, ok := described.Content[kind]
			if !ok && resp.StatusCode != http.StatusSeeOther {
				t.Errorf("%s: answers %q, described are %v", name, kind, described.Content)
			}
			if kind != "application/json" {
				continue
			}
			var got any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, fault := range doc.check(name, media.Schema, got) {
				t.Error(fault)
			}
			// And a client's mistake is answered as described, too.
			if strings.Contains(path, "{") {
				bad := ask.path[:strings.LastIndex(ask.path, "/")] + "/nothing-of-the-kind"
				if strings.HasSuffix(path, "/restart") {
					bad = "/api/v1/actors/nobody/restart"
				}
				resp, body := request(t, strings.ToUpper(method), "http://"+addr+bad, "", headers...)
				var got any
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					t.Fatalf("%s: %v", bad, err)
				}
				if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
					t.Errorf("%s: %d", bad, resp.StatusCode)
				}
				for _, fault := range doc.check(bad, op.Responses["default"].Content["application/problem+json"].Schema, got) {
					t.Error(fault)
				}
			}
		}
	}
	t.Logf("%d answers held against %d schemas", checked, len(doc.Components.Schemas))
	if checked < 29 {
		t.Errorf("only %d routes were checked", checked)
	}
	slices.Sort(exchange.did)
	if got := strings.Join(exchange.did, ", "); got != "drop 0s, lift, rotate" {
		t.Errorf("the exchange got: %s", got)
	}
}

func TestDescriptionNamesParametersAndAdmins(t *testing.T) {
	_, _, addr := open(t, &fakes{})
	doc := describe(t, addr)
	bars := doc.Paths["/api/v1/bars/{underlying}"]["get"]
	names := make([]string, len(bars.Parameters))
	for i, p := range bars.Parameters {
		names[i] = p.In + " " + p.Name
	}
	if got := strings.Join(names, ", "); got != "path underlying, query format, query from, query interval, query limit, query source, query to" {
		t.Errorf("parameters of bars: %s", got)
	}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			open := method == "get" || path == "/api/v1/session" // which is how one becomes an admin
			if (op.Security == nil) != open {
				t.Errorf("%s %s: described as open to all: %t", method, path, op.Security == nil)
			}
		}
	}
}
