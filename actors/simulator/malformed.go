package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// malformed makes what no client may take for a tick, from a good packet.
var malformed = map[string]func(packet []byte) *frame{
	"truncated":      func(p []byte) *frame { return binaryFrame(wire.AppendFrame(nil, p)[:2+2+len(p)/2]) },
	"oversized":      func(p []byte) *frame { return binaryFrame(append([]byte{0, 1, 0x7f, 0xff}, p...)) },
	"count_high":     func(p []byte) *frame { return binaryFrame(count(3, wire.AppendFrame(nil, p))) },
	"count_low":      func(p []byte) *frame { return binaryFrame(count(1, wire.AppendFrame(nil, p, p))) },
	"count_max":      func(p []byte) *frame { return binaryFrame(count(0xffff, wire.AppendFrame(nil, p))) },
	"unknown_length": func(p []byte) *frame { return binaryFrame(wire.AppendFrame(nil, bytes.Clone(p[:8]), p[:5])) },
	"zero_length":    func([]byte) *frame { return binaryFrame([]byte{0, 1, 0, 0}) },
	"short":          func([]byte) *frame { return binaryFrame([]byte{0, 1, 0}) },
	"empty":          func([]byte) *frame { return binaryFrame([]byte{}) },
	"nonzero_byte":   func([]byte) *frame { return binaryFrame([]byte{1}) },
	"huge": func(p []byte) *frame {
		return binaryFrame(wire.AppendFrame(nil, slices.Repeat([][]byte{p}, (3<<20)/(len(p)+2))...))
	},
	"unknown_segment": func(p []byte) *frame {
		p = bytes.Clone(p)
		p[3] = 200
		return binaryFrame(wire.AppendFrame(nil, p))
	},
	"text_error_object": func([]byte) *frame { return textFrame(`{"type":"error","data":{"code":1,"message":"oops"}}`) },
	"text_error_null":   func([]byte) *frame { return textFrame(`{"type":"error","data":null}`) },
	"text_error_number": func([]byte) *frame { return textFrame(`{"type":"error","data":17}`) },
	"text_no_data":      func([]byte) *frame { return textFrame(`{"type":"error"}`) },
	"text_unknown_type": func([]byte) *frame { return textFrame(`{"type":"weather","data":["rain"]}`) },
	"text_no_type":      func([]byte) *frame { return textFrame(`{"data":"no type"}`) },
	"text_array":        func([]byte) *frame { return textFrame(`[1,2,3]`) },
	"text_bad_json":     func([]byte) *frame { return textFrame(`{"type":"order","data":{`) },
}

// MalformedVariants names the variants of FaultMalformed.
func MalformedVariants() []string { return slices.Sorted(maps.Keys(malformed)) }

func binaryFrame(b []byte) *frame  { return message(websocket.BinaryMessage, b) }
func textFrame(json string) *frame { return message(websocket.TextMessage, []byte(json)) }
func count(n uint16, frame []byte) []byte {
	frame[0], frame[1] = byte(n>>8), byte(n)
	return frame
}

func (f Fault) raw() (*frame, error) {
	switch {
	case f.Text != "":
		return textFrame(f.Text), nil
	case f.Hex != "":
		b, err := hex.DecodeString(f.Hex)
		if err != nil {
			return nil, fmt.Errorf("hex: %w", err)
		}
		return binaryFrame(b), nil
	case f.Base64 != "":
		b, err := base64.StdEncoding.DecodeString(f.Base64)
		if err != nil {
			return nil, fmt.Errorf("base64: %w", err)
		}
		return binaryFrame(b), nil
	default:
		return nil, nil
	}
}

// variants of the faults that have a default.
var variants = map[FaultKind][]string{
	FaultDrop:           {"tcp", "reset", "mid_frame", "close_frame"},
	FaultPongOnly:       {"pong", "ping", "fragments"},
	FaultEndlessUpgrade: {"header", "status_line", "body"},
	FaultEchoUpgrade:    EchoVariants(),
}

// checkFault says what is wrong with a fault before anything is done.
func (e *Exchange) checkFault(f Fault) error {
	if allowed := variants[f.Kind]; allowed != nil && f.Variant != "" && !slices.Contains(allowed, f.Variant) {
		return fmt.Errorf("%s variant %q is unknown; the variants are %s", f.Kind, f.Variant, strings.Join(allowed, ", "))
	}
	switch f.Kind {
	case FaultMalformed:
		raw, err := f.raw()
		if err != nil {
			return err
		}
		if raw == nil && malformed[f.Variant] == nil {
			return fmt.Errorf("malformed variant %q is unknown; give hex, base64, text or one of %s", f.Variant, strings.Join(MalformedVariants(), ", "))
		}
	case FaultOrderUpdate:
		if id, ok := f.Order["order_id"]; ok {
			if s, isText := id.(string); !isText || s == "" {
				return errors.New("order_id must be a string")
			}
		}
	default: // nothing to get wrong
	}
	return nil
}

// perform does an instant fault to the sockets it is for. Called with mu held.
func (e *Exchange) perform(f Fault) {
	if f.Kind == FaultOrderUpdate {
		e.orderUpdate(f.Order)
		return
	}
	for s := range e.sockets {
		if f.Fingerprint != "" && f.Fingerprint != s.token.fingerprint {
			continue
		}
		switch f.Kind {
		case FaultDrop:
			e.push(s, dropFrame(f.Variant))
		case FaultMalformed:
			if raw, _ := f.raw(); raw != nil {
				e.push(s, raw)
			} else {
				e.push(s, malformed[f.Variant](e.samplePacket(s)))
			}
		case FaultDuplicateSnapshot:
			now := e.clock.Now()
			session := e.cal.sessionAt(now)
			for token, mode := range s.modes {
				e.snapshot(s, e.topics[token], session, now, mode)
			}
			e.flush()
		default: // not instant
		}
	}
}

func dropFrame(variant string) *frame {
	switch variant {
	case "reset":
		return message(reset, nil)
	case "mid_frame":
		// A binary frame that promises 1000 bytes and brings 6.
		return message(reset, []byte{0x82, 126, 0x03, 0xe8, 0, 5, 0, 184, 0, 4})
	case "close_frame":
		return message(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""))
	default:
		return message(closeTCP, nil)
	}
}

// samplePacket is a full packet of something that the socket watches.
func (e *Exchange) samplePacket(s *socket) []byte {
	for token := range s.modes {
		if t := e.topics[token]; t.in != nil && t.in.tradable() && t.in.session != nil {
			return wire.AppendPacket(nil, &t.in.packet, messages.ModeFull)
		}
	}
	p := wire.Packet{Tick: messages.Tick{InstrumentToken: 408065, LastPrice: 148000, Close: 148000}}
	return wire.AppendPacket(nil, &p, messages.ModeFull)
}
