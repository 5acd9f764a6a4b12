// Package wire speaks Kite's WebSocket format in both directions: binary
// frames of packets, JSON commands, JSON texts.
//
// Promise: no input makes it panic, allocate by what a length field claims, or
// give a tick that does not lie inside the frame; a frame is valid as a whole
// or gives nothing. What the product reads and what the simulator writes is
// the same code's two halves, held to each other by tests and to the official
// client's decoder by a differential test.
//
// Limits: integers stay as Kite sends them (see [messages.Segment.Divisor]);
// depth is read from the packet on demand (DepthOf; the OI's day extremes and an
// index' change stand there too); percentages and "change" of a quote are the
// reader's arithmetic.
//
// Reader reads the WebSocket frames themselves into the caller's memory. What a
// full tick costs here, on one core of the machine of the README: copied
// 1.8-4 ns, decoded 4.3-5.5 ns (9-12 ns field by field after a walk of its own to
// check the frame). A tick has the order of a full packet, so that two fields go
// through one register.
//
// Source: Kite Connect v3, "WebSocket streaming". All integers are big-endian.
//
//	frame   u16 N, then N times: u16 length, the packet
//	8       ltp          0 instrument token, 4 last price
//	28      index quote  8 high, 12 low, 16 open, 20 close, 24 change
//	32      index full   as 28, then 28 exchange time
//	44      quote        8 last quantity, 12 average price, 16 volume,
//	                     20 buy quantity, 24 sell quantity,
//	                     28 open, 32 high, 36 low, 40 close
//	184     full         as 44, then 44 last trade time, 48 OI, 52 its day high,
//	                     56 its day low, 60 exchange time, 64 five bids,
//	                     124 five offers
//	depth   12 bytes     u32 quantity, i32 price, u16 orders, 2 unused
//
// Note the order of the prices: high, low, open, close for an index, open,
// high, low, close for everything else.
package wire
