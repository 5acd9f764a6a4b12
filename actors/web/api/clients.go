package api

import "time"

// StatusGateway is the Kite-protocol gateway in GET /api/v1/status.
type StatusGateway struct {
	Addr        string `json:"addr"`        // host:port of REST and WebSocket
	Clients     int    `json:"clients"`     // number of programs that have a key
	Sockets     int    `json:"sockets"`     // number of WebSockets that are open
	Instruments int    `json:"instruments"` // number of instruments that all clients together want
	Capacity    int    `json:"capacity"`    // number of instruments that these may be
	Orders      bool   `json:"orders"`      // whether the configuration lets orders through
	// Budget is how much of Kite's request limits the whole server has used.
	Budget []BudgetUse `json:"budget"`
}

// BudgetUse is one of Kite's request limits, which the server and all clients
// of the gateway share.
type BudgetUse struct {
	Kind  string `json:"kind"`  // quotes, history, orders, other
	Used  int    `json:"used"`  // number of requests in the last minute
	Limit int    `json:"limit"` // number of requests allowed a minute
}

// Client is a program that may use the gateway; GET /api/v1/clients lists them
// in the order in which they were added.
type Client struct {
	Name        string         `json:"name"`        // that it was given with its key
	Scopes      []string       `json:"scopes"`      // data, account, orders
	CreatedAt   time.Time      `json:"created_at"`  // when its key was made
	Sockets     int            `json:"sockets"`     // number of its WebSockets that are open
	Instruments map[string]int `json:"instruments"` // by mode: ltp, quote, full; over all its sockets
	Packets     uint64         `json:"packets"`     // number of packets sent since the server's start
	Conflated   uint64         `json:"conflated"`   // number of packets that it was too slow for
	Waiting     int            `json:"waiting"`     // number of packets that wait to be sent
	LagSeconds  float64        `json:"lag_seconds"` // how long the last write took
	Requests    uint64         `json:"requests"`    // number of REST requests since the server's start
	Refusals    uint64         `json:"refusals"`    // number of these that were answered with an error
	Agent       string         `json:"agent"`       // User-Agent of its newest socket
	Since       *time.Time     `json:"since"`       // when its oldest open socket connected; null: none is open
}

// ClientAdd is the body of POST /api/v1/clients.
type ClientAdd struct {
	Name   string   `json:"name"`   // lower-case letters, digits, - and _, at most 32
	Scopes []string `json:"scopes"` // data, account, orders; none: data
}

// ClientKey is a new client. The key is in no other answer and in no file.
type ClientKey struct {
	Name   string   `json:"name"`   // of the program, as asked for
	Key    string   `json:"key"`    // 32 letters and digits: the program's access token
	Scopes []string `json:"scopes"` // what it may do: data, account, orders
	Addr   string   `json:"addr"`   // host:port of the gateway
}
