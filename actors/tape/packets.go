package tape

import (
	"encoding/binary"
	"slices"
)

// lengths are the lengths of the packets that are coded as differences, by
// class. classOther is any other length: its bytes are taken as they are.
var lengths = [...]int{8, 28, 32, 44, 184}

const (
	classFull  = 4
	classOther = len(lengths)
	classBits  = 3
	slot       = 184
)

func classOf(length int) int {
	switch length {
	case 184:
		return classFull
	case 44:
		return 3
	case 32:
		return 2
	case 28:
		return 1
	case 8:
		return 0
	}
	return classOther
}

// previous is the last packet of each instrument of a segment. A writer and a
// reader that have seen the same blocks have the same. A short packet replaces
// the beginning of a longer one.
type previous struct {
	index  map[uint32]int // writer only
	tokens []uint32
	slots  []byte // of slot bytes each
	cursor int    // the place of the last packet's instrument
}

func (p *previous) reset() {
	clear(p.index)
	p.tokens, p.slots, p.cursor = p.tokens[:0], p.slots[:0], -1
}

// find is the place of an instrument. Packets mostly come in the order of the
// time before.
func (p *previous) find(token uint32) (at int, known bool) {
	if next := p.cursor + 1; next < len(p.tokens) && p.tokens[next] == token {
		return next, true
	}
	at, known = p.index[token]
	return at, known
}

func (p *previous) add(token uint32) {
	p.tokens = append(p.tokens, token)
	p.slots = append(p.slots, make([]byte, slot)...)
	binary.BigEndian.PutUint32(p.slots[len(p.slots)-slot:], token)
}

func (p *previous) slot(at int) []byte { return p.slots[at*slot : at*slot+slot : at*slot+slot] }

// A packet is made of big-endian words. A level of the depth ends with 16 bits
// of orders and 16 that are always 0: differenced apart from each other, so that
// the sign of one is not in the other.
const (
	depthAt    = 64
	depthLevel = 12
)

// subtract appends packet - base without the instrument token, and makes packet
// the base.
func subtract(dst, base, packet []byte) []byte {
	n := len(dst)
	dst = append(dst, packet[4:]...)
	out := dst[n:]
	for w := 4; w < len(packet) && w < depthAt; w += 4 {
		word(out[w-4:], base[w:], packet[w:])
	}
	for w := depthAt; w < len(packet); w += depthLevel {
		word(out[w-4:], base[w:], packet[w:])
		word(out[w:], base[w+4:], packet[w+4:])
		half(out[w+4:], base[w+8:], packet[w+8:])
		half(out[w+6:], base[w+10:], packet[w+10:])
	}
	copy(base, packet)
	return dst
}

// add makes a packet of the difference, and makes it the base.
func add(packet, base, diff []byte) {
	copy(packet, base[:4])
	for w := 4; w < len(packet) && w < depthAt; w += 4 {
		unword(packet[w:], base[w:], diff[w-4:])
	}
	for w := depthAt; w < len(packet); w += depthLevel {
		unword(packet[w:], base[w:], diff[w-4:])
		unword(packet[w+4:], base[w+4:], diff[w:])
		unhalf(packet[w+8:], base[w+8:], diff[w+4:])
		unhalf(packet[w+10:], base[w+10:], diff[w+6:])
	}
	copy(base, packet)
}

func word(out, base, packet []byte) {
	d := binary.BigEndian.Uint32(packet) - binary.BigEndian.Uint32(base)
	binary.BigEndian.PutUint32(out, d<<1^uint32(int32(d)>>31))
}

func unword(packet, base, diff []byte) {
	z := binary.BigEndian.Uint32(diff)
	binary.BigEndian.PutUint32(packet, binary.BigEndian.Uint32(base)+(z>>1^-(z&1)))
}

func half(out, base, packet []byte) {
	d := binary.BigEndian.Uint16(packet) - binary.BigEndian.Uint16(base)
	binary.BigEndian.PutUint16(out, d<<1^uint16(int16(d)>>15))
}

func unhalf(packet, base, diff []byte) {
	z := binary.BigEndian.Uint16(diff)
	binary.BigEndian.PutUint16(packet, binary.BigEndian.Uint16(base)+(z>>1^-(z&1)))
}

// transpose appends rows of width bytes column by column.
func transpose(dst, rows []byte, width int) []byte {
	n := len(rows) / width
	start := len(dst)
	dst = slices.Grow(dst, len(rows))[:start+len(rows)]
	out := dst[start:]
	const tile = 64
	for r0 := 0; r0 < n; r0 += tile {
		r1 := min(r0+tile, n)
		for c := range width {
			column := out[c*n+r0 : c*n+r1]
			for i, at := 0, r0*width+c; i < len(column); i, at = i+1, at+width {
				column[i] = rows[at]
			}
		}
	}
	return dst
}

// untranspose appends the rows of columns.
func untranspose(dst, columns []byte, width int) []byte {
	n := len(columns) / width
	start := len(dst)
	dst = slices.Grow(dst, len(columns))[:start+len(columns)]
	out := dst[start:]
	const tile = 64
	for r0 := 0; r0 < n; r0 += tile {
		r1 := min(r0+tile, n)
		for c := range width {
			for i, at := r0, r0*width+c; i < r1; i, at = i+1, at+width {
				out[at] = columns[c*n+i]
			}
		}
	}
	return dst
}
