package bus

import (
	"strconv"
	"strings"

	"kitestring/messages"
)

// kind is what a message is about, a label of metrics.
type kind uint8

const (
	kindFrame kind = iota
	kindTick
	kindBar
	kindSignal
	kindEvent
)

var kinds = [...]string{"frame", "tick", "bar", "sig", "evt"}

// Headers of every message.
const (
	HeaderSchema   = "Ks-Schema"
	HeaderServer   = "Ks-Server"
	HeaderEpoch    = "Ks-Epoch"
	HeaderSequence = "Ks-Sequence"
	HeaderReceived = "Ks-Received"
)

// schema is the form of the messages: it changes when a consumer has to.
const schema = "1"

// part makes a name one part of a subject: a dot, a blank or a wildcard would be
// read as something else.
func part(name string) string {
	if !strings.ContainsAny(name, ". *>\t\r\n") {
		return name
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(". *>\t\r\n", r) {
			return '_'
		}
		return r
	}, name)
}

// exchanges by segment. An index is of NSE or BSE: its instrument token does not
// say which.
var exchanges = map[messages.Segment]string{
	messages.NSE: "NSE", messages.NFO: "NFO", messages.CDS: "CDS", messages.BSE: "BSE", messages.BFO: "BFO",
	messages.BCD: "BCD", messages.MCX: "MCX", messages.MCXSX: "MCXSX", messages.NCO: "NCO", messages.Indices: "INDICES",
}

// tickSubject is the subject of an instrument's packets.
func tickSubject(env string, instrumentToken uint32) string {
	exchange := exchanges[messages.SegmentOf(instrumentToken)]
	if exchange == "" {
		exchange = "OTHER"
	}
	return "ks." + env + ".md.tick." + exchange + "." + strconv.FormatUint(uint64(instrumentToken), 10)
}

func frameSubject(env string, shard int) string {
	return "ks." + env + ".md.frame." + strconv.Itoa(shard)
}
