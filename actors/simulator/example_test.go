package simulator_test

import (
	"fmt"
	"net/http/httptest"

	kiteconnect "github.com/zerodha/gokiteconnect/v4"

	"kitestring/actors/simulator"
)

// Any test can have an exchange: a handler, and Run when prices shall move.
func Example() {
	exchange, err := simulator.New(simulator.Config{})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(exchange.Handler())
	defer server.Close()

	token, err := exchange.IssueToken()
	if err != nil {
		panic(err)
	}
	client := kiteconnect.New(exchange.APIKey())
	client.SetBaseURI(server.URL)
	client.SetAccessToken(token.Reveal())
	profile, err := client.GetUserProfile()
	fmt.Println(profile.UserID, err)
	// Output: SIM001 <nil>
}
