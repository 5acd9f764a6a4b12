package tape

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"kitestring/messages"
)

// decoder reads the blocks of a segment, in their order. What a block makes it
// allocate is bounded by maxBlock, whatever the block says.
type decoder struct {
	previous
	zstd *zstd.Decoder

	content, raw []byte
	rows         [len(lengths)][]byte
	sources      []source
	records      []Record
	sequence     uint32
	crc          uint32
}

func newDecoder() *decoder {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecoderMaxWindow(maxBlock), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	d := &decoder{zstd: z}
	d.restart()
	return d
}

// restart begins a segment.
func (d *decoder) restart() {
	d.previous.reset()
	d.sequence, d.crc = 0, 0
}

// check compares the checksum of a whole block.
func (d *decoder) check(h header, block []byte) error {
	if checksum(d.crc, block) != h.crc || !d.follow(h) {
		return errCRC
	}
	return nil
}

// follow takes a block's place in the segment from its header; false: it is
// another block's turn.
func (d *decoder) follow(h header) bool {
	if h.sequence != d.sequence {
		return false
	}
	d.crc = h.crc
	d.sequence++
	return true
}

// block gives the records of a block, in the order of time, valid until the
// next call.
func (d *decoder) block(h header, compressed []byte) ([]Record, error) {
	content, err := d.zstd.DecodeAll(compressed, slices.Grow(d.content[:0], h.inner))
	if err != nil || len(content) != h.inner {
		return nil, errContent
	}
	d.content = content
	records, err := d.open(content, h)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(records, func(a, b Record) int { return a.At.Compare(b.At) })
	return records, nil
}

// cursor reads a section; bad is set by what does not fit.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

// length is a uvarint that is at most limit.
func (c *cursor) length(limit int) int {
	v := c.uvarint()
	if v > uint64(limit) {
		c.bad = true
		return 0
	}
	return int(v)
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (d *decoder) open(content []byte, h header) ([]Record, error) {
	in := &cursor{b: content}
	var size [3]int
	for i := range size {
		size[i] = in.length(len(content))
	}
	var rows [len(lengths)]int
	for i := range rows {
		rows[i] = in.length(len(content))
	}
	records, codes, plain := &cursor{b: in.take(size[0])}, &cursor{b: in.take(size[1])}, &cursor{b: in.take(size[2])}
	for class, n := range rows {
		width := lengths[class] - 4
		d.rows[class] = untranspose(d.rows[class][:0], in.take(n*width), width)
	}
	if in.bad || len(in.b) > 0 {
		return nil, errContent
	}
	d.raw, d.records, d.sources = d.raw[:0], d.records[:0], d.sources[:0]
	p := packetReader{decoder: d, codes: codes, plain: plain, rows: d.rows}
	var frames, events uint32
	at := h.first
	for len(records.b) > 0 {
		tag := records.uvarint()
		at += records.varint()
		r := Record{At: time.Unix(0, at)}
		if kind := tag & (1<<recordBits - 1); kind == recordEvent {
			r.Kind = Kind(records.take(records.length(len(records.b))))
			r.Data = records.take(records.length(len(records.b)))
			events++
		} else {
			from := tag >> recordBits
			if from == uint64(len(d.sources)) {
				d.sources = append(d.sources, source{int(records.uvarint()), records.uvarint(), messages.Generation(records.uvarint())})
			}
			if from >= uint64(len(d.sources)) {
				return nil, errContent
			}
			s := d.sources[from]
			r.Shard, r.Socket, r.Generation = s.shard, s.socket, s.generation
			start := len(d.raw)
			switch kind {
			case recordPackets:
				p.frame(records.length(1<<16 - 1))
			case recordBytes:
				d.raw = append(d.raw, plain.take(records.length(len(plain.b)))...)
			default:
				return nil, errContent
			}
			r.offset, r.length = start, len(d.raw)-start
			frames++
		}
		if records.bad || codes.bad || plain.bad || p.bad || len(d.raw) > maxRaw {
			return nil, errContent
		}
		d.records = append(d.records, r)
	}
	if frames != h.frames || events != h.events || p.ticks != h.ticks || len(codes.b)+len(plain.b) > 0 || p.left() {
		return nil, errContent
	}
	for i := range d.records {
		if r := &d.records[i]; r.Kind == "" {
			r.Data = d.raw[r.offset : r.offset+r.length : r.offset+r.length]
		}
	}
	return d.records, nil
}

// packetReader makes packets of codes and differences.
type packetReader struct {
	*decoder
	codes, plain *cursor
	rows         [len(lengths)][]byte // what is left of them
	ticks        uint32
	bad          bool
}

func (p *packetReader) left() bool {
	for _, rows := range p.rows {
		if len(rows) > 0 {
			return true
		}
	}
	return false
}

// frame appends a frame of n packets to raw.
func (p *packetReader) frame(n int) {
	p.raw = binary.BigEndian.AppendUint16(p.raw, uint16(n))
	for ; n > 0 && !p.bad && !p.codes.bad && !p.plain.bad && len(p.raw) <= maxRaw; n-- {
		code := p.codes.uvarint()
		class := int(code & (1<<classBits - 1))
		if class >= classOther {
			p.other(class, code)
			continue
		}
		length, width := lengths[class], lengths[class]-4
		at := p.cursor + 1 + unzigzag(code>>classBits)
		if at == len(p.tokens) && at < maxInstruments {
			token := p.plain.take(4)
			if token == nil {
				return
			}
			p.add(binary.BigEndian.Uint32(token))
		}
		if at < 0 || at >= len(p.tokens) || len(p.rows[class]) < width {
			p.bad = true
			return
		}
		p.cursor = at
		p.raw = binary.BigEndian.AppendUint16(p.raw, uint16(length))
		start := len(p.raw)
		p.raw = slices.Grow(p.raw, length)[:start+length]
		add(p.raw[start:], p.slot(at), p.rows[class])
		p.rows[class] = p.rows[class][width:]
		p.ticks++
	}
}

// other appends a packet that is taken as it is.
func (p *packetReader) other(class int, code uint64) {
	length := p.codes.length(1<<16 - 1)
	if class != classOther || code>>classBits != 0 {
		p.bad = true
		return
	}
	p.raw = binary.BigEndian.AppendUint16(p.raw, uint16(length))
	p.raw = append(p.raw, p.plain.take(length)...)
	if classOf(length) != classOther {
		p.ticks++
	}
}
