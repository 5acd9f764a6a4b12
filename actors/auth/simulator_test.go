package auth

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/actors/simulator"
	"kitestring/messages"
)

// fileOf plays file and watcher: a written token is announced to the actor.
type fileOf struct {
	*fakeStore
	announce func(messages.TokenChanged)
	newest   messages.Generation
}

// SetToken implements the login's store.
func (f *fileOf) SetToken(_ context.Context, token messages.AccessToken) error {
	f.newest++
	f.announce(f.Write(messages.Session{Generation: f.newest, APIKey: "simkey", Token: token}, messages.ChangeByLogin))
	return nil
}

// TestDayAtTheSimulator logs in through the browser's path, loses the token to
// another login, and logs in again.
func TestDayAtTheSimulator(t *testing.T) {
	exchange, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rest := httptest.NewServer(exchange.Handler())
	t.Cleanup(rest.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	reg := prometheus.NewRegistry()
	metrics := NewMetrics(reg)
	ex := kite.Exchange{
		APIURL: rest.URL, LoginURL: rest.URL + "/connect/login", Transport: transport,
		Budget: kite.NewBudget(), Observe: kite.NewMetrics(reg).Observe,
	}
	file := &fileOf{fakeStore: newStore()}
	harness := actorstest.Start(t, "auth", New(Config{
		Exchange: ex, Tokens: file, Coherence: file, Clock: exchange.Clock(), Feed: feedPID, Web: webPID,
		Holders: []Holder{{"pcr", holderPID}}, Store: NewStore(filepath.Join(t.TempDir(), "expiry.json")), Metrics: metrics,
	}))
	file.announce = func(c messages.TokenChanged) { harness.Tell(c) }

	var log syncBuffer
	ended := make(chan messages.LoginEnded, 10)
	handlers := NewHandlers(HandlersConfig{
		Exchange: ex, Logins: NewLogins(), Tokens: file, Store: file,
		Credentials: func() (string, messages.Secret) { return "simkey", messages.NewSecret("simsecret") },
		Account:     func() string { return "" }, Accounts: NewStore(filepath.Join(t.TempDir(), "expiry.json")),
		EnvFile: ".env", Notify: func(e messages.LoginEnded) { ended <- e },
		Metrics: metrics, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/login", handlers.Login)
	mux.HandleFunc("/callback", handlers.Callback)
	mux.HandleFunc("/{$}", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	exchange.SetRedirectURL(server.URL + "/callback")
	browser := &http.Client{Transport: transport}
	login := func() {
		t.Helper()
		resp, err := browser.Get(server.URL + "/login")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if e := <-ended; e.Result != messages.LoginOK || resp.Request.URL.String() != server.URL+"/#logged-in" {
			t.Fatalf("%+v, the browser is at %s", e, resp.Request.URL)
		}
	}

	login()
	first := actorstest.Await(harness, func(a messages.TokenAdopted) bool { return a.Session.Generation == 1 })
	if !exchange.Valid(first.Session.Token) || first.Proof != messages.ProofProfile {
		t.Errorf("adopted %+v", first)
	}
	report := actorstest.Await(harness, func(a messages.AuthChanged) bool { return a.Adopted.State == messages.Valid })
	if report.UserID == "" {
		t.Errorf("report %+v", report)
	}

	if _, err := exchange.Rotate(); err != nil {
		t.Fatal(err)
	}
	harness.Tell(messages.TokenDoubted{Generation: 1})
	report = actorstest.Await(harness, func(a messages.AuthChanged) bool { return a.Adopted.State == messages.Rejected })
	if !strings.Contains(report.Adopted.Reason, "ended this token") {
		t.Errorf("reason %q", report.Adopted.Reason)
	}

	// Kite's REST fails while the person logs in again: no verdict, then one.
	if err := exchange.InjectFault(simulator.Fault{Kind: simulator.FaultRESTTooMany, Path: "/user/profile"}); err != nil {
		t.Fatal(err)
	}
	login()
	actorstest.Await(harness, func(a messages.AuthChanged) bool {
		return a.Candidate != nil && a.Candidate.Generation == 2 && strings.Contains(a.Candidate.Reason, "slow down")
	})
	exchange.ClearFaults()
	harness.Tell(messages.ValidateToken{})
	actorstest.Await(harness, func(a messages.TokenAdopted) bool { return a.Session.Generation == 2 })

	// The abuse that only the exchange can judge.
	state := func() string {
		address, err := handlers.Start()
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(address)
		params, _ := url.ParseQuery(u.Query().Get("redirect_params"))
		return params.Get("state")
	}
	for words, query := range map[string]string{
		"too old":                        success(state(), "anInventedRequestToken0123456789"),
		"cancelled":                      "status=cancelled",
		"The parameter state belongs to": success("invented", "anInventedRequestToken0123456789"),
	} {
		w := httptest.NewRecorder()
		handlers.Callback(w, httptest.NewRequest(http.MethodGet, "/callback?"+query, nil))
		if !strings.Contains(w.Body.String(), words) {
			t.Errorf("%s: want %q", w.Body, words)
		}
		if strings.Contains(query, "invented") {
			continue // the end of no login
		}
		if e := <-ended; e.Result == messages.LoginOK {
			t.Errorf("%+v for %s", e, words)
		}
	}
	if err := exchange.InjectFault(simulator.Fault{Kind: simulator.FaultChecksum}); err != nil {
		t.Fatal(err)
	}
	resp, err := browser.Get(server.URL + "/login")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if e := <-ended; e.Result != messages.LoginExchangeFailed || !strings.Contains(e.Reason, "checksum") {
		t.Errorf("wrong checksum: %+v", e)
	}
	if harness.Err() != nil {
		t.Error(harness.Err())
	}
	for _, token := range []messages.AccessToken{first.Session.Token, file.Current().Adopted.Token} {
		if strings.Contains(log.String(), token.Reveal()) {
			t.Error("the log shows a token")
		}
	}
}
