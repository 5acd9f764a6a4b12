package wire

import (
	"encoding/binary"
	"math/bits"
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
// A frame is good as a whole or not at all: on a *FrameError dst comes back as
// it was, and nothing is counted. A heartbeat and an empty frame give no tick
// and no error. Packets of an unknown length are skipped and counted.
//
// It keeps neither frame nor dst, and allocates only to grow dst.
func (d *Decoder) Decode(frame []byte, dst []messages.Tick) ([]messages.Tick, error) {
	if Heartbeat(frame) {
		return dst, nil
	}
	if len(frame) < 2 || len(frame) > MaxFrame {
		return dst, check(frame)
	}
	n := int(binary.BigEndian.Uint16(frame))
	if 2+2*n > len(frame) { // no room for the lengths: no memory for such a count
		return dst, check(frame)
	}
	dst = slices.Grow(dst, n)
	ticks := dst[len(dst) : len(dst)+n]
	var seen Stats
	at, left, pos := 0, n, 2
	for left > 0 {
		run, unknown := fulls(frame, pos, ticks[at:at+left])
		at, left, pos = at+run, left-run, pos+run*(2+lenFull)
		seen.UnknownSegment += unknown
		if left == 0 {
			break
		}
		if pos+2 > len(frame) {
			return dst, check(frame)
		}
		from := pos + 2
		pos = from + int(binary.BigEndian.Uint16(frame[pos:]))
		if pos > len(frame) {
			return dst, check(frame)
		}
		left--
		t := &ticks[at]
		if !other(frame[from:pos], t) {
			seen.UnknownLength++
			continue
		}
		t.Offset = uint32(from)
		if !messages.SegmentOf(t.InstrumentToken).Known() {
			seen.UnknownSegment++
		}
		at++
	}
	if pos != len(frame) {
		return dst, check(frame)
	}
	d.Packets += n
	d.UnknownLength += seen.UnknownLength
	d.UnknownSegment += seen.UnknownSegment
	return dst[:len(dst)+at], nil
}

// fulls decodes the full packets that stand at pos, one behind the other, and
// answers how many they are. They are nearly all that comes: with their constant
// length the processor knows where the next packet begins before it has read
// that one's length. A tick's fields stand in the order of a packet's, so two
// neighbours go through one register.
func fulls(frame []byte, pos int, ticks []messages.Tick) (n, unknownSegment int) {
	for n < len(ticks) && pos+2+lenFull <= len(frame) {
		p := (*[2 + lenFull]byte)(frame[pos:])
		if binary.BigEndian.Uint16(p[:]) != lenFull {
			break
		}
		t := &ticks[n]
		v := two(p[2:])
		t.InstrumentToken, t.LastPrice = uint32(v), int32(v>>32)
		if !messages.SegmentOf(uint32(v)).Known() {
			unknownSegment++
		}
		v = two(p[10:])
		t.LastQuantity, t.AveragePrice = uint32(v), int32(v>>32)
		v = two(p[18:])
		t.Volume, t.BuyQuantity = uint32(v), uint32(v>>32)
		v = two(p[26:])
		t.SellQuantity, t.Open = uint32(v), int32(v>>32)
		v = two(p[34:])
		t.High, t.Low = int32(v), int32(v>>32)
		v = two(p[42:])
		t.Close, t.LastTradeTime = int32(v), uint32(v>>32)
		t.OI, t.Offset = binary.BigEndian.Uint32(p[50:]), uint32(pos+2)
		t.Length, t.Mode = lenFull, messages.ModeFull
		t.ExchangeTime = binary.BigEndian.Uint32(p[62:])
		pos += 2 + lenFull
		n++
	}
	return n, unknownSegment
}

// two reads two integers, the first into the lower half.
func two(p []byte) uint64 { return bits.RotateLeft64(binary.BigEndian.Uint64(p), 32) }

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
		*t = messages.Tick{
			LastQuantity: binary.BigEndian.Uint32(p[8:]), AveragePrice: price(p[12:]), Volume: binary.BigEndian.Uint32(p[16:]),
			BuyQuantity: binary.BigEndian.Uint32(p[20:]), SellQuantity: binary.BigEndian.Uint32(p[24:]),
			Open: price(p[28:]), High: price(p[32:]), Low: price(p[36:]), Close: price(p[40:]),
			Mode: messages.ModeQuote,
		}
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
