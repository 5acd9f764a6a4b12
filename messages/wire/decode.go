package wire

import (
	"encoding/binary"
	"slices"

	"kitestring/messages"
)

// MaxFrame is the longest frame that Decode accepts, in bytes: Kite streams at
// most 3000 instruments on a socket, which is 558,002 bytes in full mode.
const MaxFrame = 1 << 20

// The packet lengths of Kite's table.
const (
	lenLTP        = 8
	lenIndexQuote = 28
	lenIndexFull  = 32
	lenQuote      = 44
	lenFull       = 184
)

// FrameReason says what is wrong with a frame: a closed set, fit for a
// metric's label.
type FrameReason string

// What can be wrong with a frame.
const (
	FrameShort     FrameReason = "short"     // no room for a count, and no heartbeat
	FrameTruncated FrameReason = "truncated" // a packet, or its length, runs past the end
	FrameCount     FrameReason = "count"     // fewer packets than the count says, or bytes after the last one
	FrameOversized FrameReason = "oversized" // longer than MaxFrame
)

// FrameReasons lists every FrameReason.
var FrameReasons = [...]FrameReason{FrameShort, FrameTruncated, FrameCount, FrameOversized}

// FrameError is a frame that cannot be trusted and was dropped whole.
type FrameError struct{ Reason FrameReason }

// Error implements error.
func (e *FrameError) Error() string { return "bad frame: " + string(e.Reason) }

// One value per reason: a stream of bad frames must not cost an allocation each.
var (
	errShort     = &FrameError{FrameShort}
	errTruncated = &FrameError{FrameTruncated}
	errCount     = &FrameError{FrameCount}
	errOversized = &FrameError{FrameOversized}
)

// Heartbeat reports whether a binary frame is Kite's heartbeat: one byte,
// about once a second when there is nothing else to send.
func Heartbeat(frame []byte) bool { return len(frame) == 1 }

// Stats counts what a Decoder met in well-formed frames.
type Stats struct {
	Packets        int // of any length
	UnknownLength  int // packets skipped: no layout that is known here
	UnknownSegment int // ticks whose segment is not in the table: their divisor is a guess
}

// Decoder turns frames into ticks and counts. The zero value is ready. Not
// safe for concurrent use.
type Decoder struct{ Stats }

// Decode appends every tick of a frame to dst; Tick.Offset points into frame.
// The whole frame is checked first: on a *FrameError dst comes back as it was,
// and nothing is counted. A heartbeat and an empty frame give no tick and no
// error. Packets of an unknown length are skipped and counted.
//
// It keeps neither frame nor dst, and allocates only to grow dst.
func (d *Decoder) Decode(frame []byte, dst []messages.Tick) ([]messages.Tick, error) {
	if Heartbeat(frame) {
		return dst, nil
	}
	if err := check(frame); err != nil {
		return dst, err
	}
	n := int(binary.BigEndian.Uint16(frame))
	d.Packets += n
	dst = slices.Grow(dst, n)
	at := len(dst)
	ticks := dst[:at+n]
	pos := 2
	for range n {
		length := int(binary.BigEndian.Uint16(frame[pos:]))
		pos += 2
		t := &ticks[at]
		// The commonest length first, with its constant: the processor then
		// guesses where the next packet begins instead of waiting for length.
		if length == lenFull {
			full((*[lenFull]byte)(frame[pos:]), t)
			t.Offset = uint32(pos)
			pos += lenFull
		} else {
			if !other(frame[pos:pos+length], t) {
				d.UnknownLength++
				pos += length
				continue
			}
			t.Offset = uint32(pos)
			pos += length
		}
		if !messages.SegmentOf(t.InstrumentToken).Known() {
			d.UnknownSegment++
		}
		at++
	}
	return dst[:at], nil
}

// WellFormed reports whether Decode takes the frame.
func WellFormed(frame []byte) bool { return check(frame) == nil }

// check walks the whole frame without reading a packet.
func check(frame []byte) error {
	if len(frame) < 2 {
		return errShort
	}
	if len(frame) > MaxFrame {
		return errOversized
	}
	pos := 2
	for range binary.BigEndian.Uint16(frame) {
		if pos == len(frame) {
			return errCount
		}
		if pos+2 > len(frame) {
			return errTruncated
		}
		if length := int(binary.BigEndian.Uint16(frame[pos:])); length == lenFull {
			pos += 2 + lenFull
		} else {
			pos += 2 + length
		}
		if pos > len(frame) {
			return errTruncated
		}
	}
	if pos != len(frame) {
		return errCount
	}
	return nil
}

func full(p *[lenFull]byte, t *messages.Tick) {
	quote((*[lenQuote]byte)(p[:]), t)
	t.LastTradeTime = binary.BigEndian.Uint32(p[44:])
	t.OI = binary.BigEndian.Uint32(p[48:])
	t.ExchangeTime = binary.BigEndian.Uint32(p[60:])
	t.Length = lenFull
	t.Mode = messages.ModeFull
}

// quote sets the first 44 bytes' fields and no other.
func quote(p *[lenQuote]byte, t *messages.Tick) {
	t.InstrumentToken = binary.BigEndian.Uint32(p[0:])
	t.LastPrice = price(p[4:])
	t.LastQuantity = binary.BigEndian.Uint32(p[8:])
	t.AveragePrice = price(p[12:])
	t.Volume = binary.BigEndian.Uint32(p[16:])
	t.BuyQuantity = binary.BigEndian.Uint32(p[20:])
	t.SellQuantity = binary.BigEndian.Uint32(p[24:])
	t.Open = price(p[28:])
	t.High = price(p[32:])
	t.Low = price(p[36:])
	t.Close = price(p[40:])
}

// other decodes a packet that is not a full one; false for an unknown length.
// dst may be memory that was used before, so every field is set.
func other(p []byte, t *messages.Tick) bool {
	switch len(p) {
	case lenLTP:
		*t = messages.Tick{Mode: messages.ModeLTP}
	case lenIndexQuote, lenIndexFull:
		*t = messages.Tick{
			High: price(p[8:]), Low: price(p[12:]), Open: price(p[16:]), Close: price(p[20:]),
			Mode: messages.ModeQuote,
		}
		if len(p) == lenIndexFull {
			t.ExchangeTime = binary.BigEndian.Uint32(p[28:])
			t.Mode = messages.ModeFull
		}
	case lenQuote:
		*t = messages.Tick{Mode: messages.ModeQuote}
		quote((*[lenQuote]byte)(p), t)
	default:
		return false
	}
	t.InstrumentToken = binary.BigEndian.Uint32(p)
	t.LastPrice = price(p[4:])
	t.Length = uint8(len(p))
	return true
}

// price reads a price: signed, for spreads and crude can be negative.
func price(p []byte) int32 { return int32(binary.BigEndian.Uint32(p)) }

// DecodePacket decodes one packet without its frame; false: it is none that is
// known here.
func DecodePacket(packet []byte, to *messages.Tick) bool {
	if len(packet) > lenFull {
		return false
	}
	var room [4 + lenFull]byte
	head := append(room[:0], 0, 1, 0, byte(len(packet)))
	var one [1]messages.Tick
	var d Decoder
	ticks, err := d.Decode(append(head, packet...), one[:0])
	if err != nil || len(ticks) != 1 {
		return false
	}
	*to = ticks[0]
	return true
}
