package tape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/zstd"

	"kitestring/messages"
	"kitestring/messages/wire"
)

const (
	headerBytes = 56
	skippable   = 0x184D2A5B // one of the sixteen numbers of a skippable frame of zstd
)

var (
	magic      = [3]byte{'K', 'S', 'T'} // then the format
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// blockStart is what every block starts with, whatever its format.
var blockStart = append(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, skippable), headerBytes-8), magic[:]...)

// header describes a block. On disk, little-endian:
//
//	 0 skippable frame: its number, its length (48)
//	 8 "KST", format
//	12 crc32c of everything from 16 to the block's end, started with that of the block before
//	16 length of the zstd frame, length of its content
//	24 time of the first record, of the last one (Unix nanoseconds)
//	40 sequence in the segment
//	44 frames, ticks, events
type header struct {
	crc                   uint32
	length, inner         int
	first, last           int64
	sequence              uint32
	frames, ticks, events uint32
}

func (h *header) counts() Counts {
	return Counts{Frames: int64(h.frames), Ticks: int64(h.ticks), Events: int64(h.events), Bytes: int64(headerBytes + h.length)}
}

func (h *header) put(b []byte) {
	binary.LittleEndian.PutUint32(b[0:], skippable)
	binary.LittleEndian.PutUint32(b[4:], headerBytes-8)
	copy(b[8:], magic[:])
	b[11] = format
	binary.LittleEndian.PutUint32(b[12:], h.crc)
	binary.LittleEndian.PutUint32(b[16:], uint32(h.length))
	binary.LittleEndian.PutUint32(b[20:], uint32(h.inner))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.first))
	binary.LittleEndian.PutUint64(b[32:], uint64(h.last))
	binary.LittleEndian.PutUint32(b[40:], h.sequence)
	binary.LittleEndian.PutUint32(b[44:], h.frames)
	binary.LittleEndian.PutUint32(b[48:], h.ticks)
	binary.LittleEndian.PutUint32(b[52:], h.events)
}

// The ways in which a block cannot be read.
var (
	errForeign = errors.New("it is no tape of kitestring")
	errLengths = errors.New("the lengths of a block are impossible")
	errCRC     = errors.New("the checksum of a block is wrong")
	errContent = errors.New("the content of a block is wrong")
)

// parseHeader reads what put has written.
func parseHeader(b []byte) (h header, err error) {
	if binary.LittleEndian.Uint32(b) != skippable || binary.LittleEndian.Uint32(b[4:]) != headerBytes-8 || [3]byte(b[8:]) != magic {
		return h, errForeign
	}
	if b[11] != format {
		return h, fmt.Errorf("it has format %d, written by another version of kitestring; this one reads format %d", b[11], format)
	}
	h = header{
		crc:    binary.LittleEndian.Uint32(b[12:]),
		length: int(binary.LittleEndian.Uint32(b[16:])), inner: int(binary.LittleEndian.Uint32(b[20:])),
		first: int64(binary.LittleEndian.Uint64(b[24:])), last: int64(binary.LittleEndian.Uint64(b[32:])),
		sequence: binary.LittleEndian.Uint32(b[40:]),
		frames:   binary.LittleEndian.Uint32(b[44:]), ticks: binary.LittleEndian.Uint32(b[48:]), events: binary.LittleEndian.Uint32(b[52:]),
	}
	if h.length > maxBlock || h.inner > maxBlock || h.length == 0 {
		return h, errLengths
	}
	return h, nil
}

// checksum is that of a whole block, started with that of the block before.
func checksum(before uint32, block []byte) uint32 {
	return crc32.Update(before, castagnoli, block[16:])
}

// source is where a frame came from.
type source struct {
	shard      int
	socket     uint64
	generation messages.Generation
}

// The kinds of records in a block.
const (
	recordEvent   = iota
	recordPackets // a well-formed frame
	recordBytes   // any other frame, as it is
	recordBits    = 2

	recordBytesMost = 64 // of a record, its data aside
)

// encoder makes blocks. Sections of the content, each with its length in front:
// records (what and when), codes (which instrument and length each packet has),
// bytes (what is taken as it is), then for each class the differences.
type encoder struct {
	previous
	zstd *zstd.Encoder

	sources               []source
	records, codes, plain []byte
	rows                  [len(lengths)][]byte
	content               []byte
	raw                   int   // bytes of frames and events in the block
	now                   int64 // of the record before
	h                     header
	sequence, crc         uint32
}

func newEncoder() *encoder {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	e := &encoder{zstd: z, previous: previous{index: map[uint32]int{}}}
	e.restart()
	return e
}

// restart begins a segment.
func (e *encoder) restart() {
	e.previous.reset()
	e.clear()
	e.sequence, e.crc = 0, 0
}

// clear begins a block.
func (e *encoder) clear() {
	e.sources, e.records, e.codes, e.plain = e.sources[:0], e.records[:0], e.codes[:0], e.plain[:0]
	for i := range e.rows {
		e.rows[i] = e.rows[i][:0]
	}
	e.h, e.raw = header{}, 0
}

func (e *encoder) empty() bool { return e.h.frames == 0 && e.h.events == 0 }

// begin writes what every record starts with.
func (e *encoder) begin(tag int, at time.Time, bytes int) {
	ns := at.UnixNano()
	if e.empty() {
		e.h.first, e.h.last, e.now = ns, ns, ns
	}
	e.h.first, e.h.last = min(e.h.first, ns), max(e.h.last, ns)
	e.records = binary.AppendUvarint(e.records, uint64(tag))
	e.records = binary.AppendVarint(e.records, ns-e.now)
	e.now = ns
	e.raw += recordBytesMost + bytes
}

func (e *encoder) event(v Event) {
	e.begin(recordEvent, v.At, len(v.Kind)+len(v.Data))
	e.records = binary.AppendUvarint(e.records, uint64(len(v.Kind)))
	e.records = append(e.records, v.Kind...)
	e.records = binary.AppendUvarint(e.records, uint64(len(v.Data)))
	e.records = append(e.records, v.Data...)
	e.h.events++
}

func (e *encoder) frame(f Frame) {
	from := source{f.Shard, f.Socket, f.Generation}
	at := len(e.sources) - 1
	for at >= 0 && e.sources[at] != from {
		at--
	}
	added := at < 0
	if added {
		at = len(e.sources)
		e.sources = append(e.sources, from)
	}
	kind := recordBytes
	packets, formed := wellFormed(f.Data)
	if formed {
		kind = recordPackets
	}
	e.begin(at<<recordBits|kind, f.At, len(f.Data))
	if added {
		e.records = binary.AppendUvarint(e.records, uint64(from.shard))
		e.records = binary.AppendUvarint(e.records, from.socket)
		e.records = binary.AppendUvarint(e.records, uint64(from.generation))
	}
	if formed {
		e.records = binary.AppendUvarint(e.records, uint64(packets))
		e.packets(f.Data[2:])
	} else {
		e.records = binary.AppendUvarint(e.records, uint64(len(f.Data)))
		e.plain = append(e.plain, f.Data...)
	}
	e.h.frames++
}

// wellFormed reports whether packets fill a frame to its last byte.
func wellFormed(data []byte) (packets int, ok bool) {
	if len(data) < 2 || wire.Heartbeat(data) {
		return 0, false
	}
	packets = int(binary.BigEndian.Uint16(data))
	pos := 2
	for range packets {
		if pos+2 > len(data) {
			return 0, false
		}
		pos += 2 + int(binary.BigEndian.Uint16(data[pos:]))
	}
	return packets, pos == len(data)
}

func (e *encoder) packets(data []byte) {
	for len(data) > 0 {
		length := int(binary.BigEndian.Uint16(data))
		packet := data[2 : 2+length]
		data = data[2+length:]
		class := classOf(length)
		if class != classOther {
			e.h.ticks++
			class = e.place(class, packet)
		}
		if class == classOther {
			e.codes = append(e.codes, byte(classOther))
			e.codes = binary.AppendUvarint(e.codes, uint64(length))
			e.plain = append(e.plain, packet...)
		}
	}
}

// place codes which instrument a packet is of, and its difference. An
// instrument for which there is no room is classOther.
func (e *encoder) place(class int, packet []byte) int {
	token := binary.BigEndian.Uint32(packet)
	at, known := e.find(token)
	if !known {
		if at = len(e.tokens); at == maxInstruments {
			return classOther
		}
		e.index[token] = at
		e.add(token)
		e.plain = append(e.plain, packet[:4]...)
	}
	e.codes = binary.AppendUvarint(e.codes, zigzag(at-e.cursor-1)<<classBits|uint64(class))
	e.cursor = at
	e.rows[class] = subtract(e.rows[class], e.slot(at), packet)
	return class
}

func zigzag(v int) uint64   { return uint64(v<<1 ^ v>>63) }
func unzigzag(v uint64) int { return int(v>>1) ^ -int(v&1) }

// block appends the block, header in front, and begins the next one.
func (e *encoder) block(dst []byte) []byte {
	c := e.content[:0]
	for _, section := range [...][]byte{e.records, e.codes, e.plain} {
		c = binary.AppendUvarint(c, uint64(len(section)))
	}
	for class, rows := range e.rows {
		c = binary.AppendUvarint(c, uint64(len(rows)/(lengths[class]-4)))
	}
	for _, section := range [...][]byte{e.records, e.codes, e.plain} {
		c = append(c, section...)
	}
	for class, rows := range e.rows {
		c = transpose(c, rows, lengths[class]-4)
	}
	e.content = c
	start := len(dst)
	dst = append(dst, make([]byte, headerBytes)...) // filled below
	dst = e.zstd.EncodeAll(c, dst)
	e.h.length, e.h.inner, e.h.sequence = len(dst)-start-headerBytes, len(c), e.sequence
	e.h.put(dst[start:])
	e.crc = checksum(e.crc, dst[start:])
	binary.LittleEndian.PutUint32(dst[start+12:], e.crc)
	e.sequence++
	e.clear()
	return dst
}
