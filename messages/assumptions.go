package messages

import "time"

// Assumption names a fact about Kite that behaviour depends on; package
// actors/assume has the table of them, with claim, source and fallback.
type Assumption string

// The assumptions.
const (
	OldSocketLives   Assumption = "old_socket_lives"
	EqualPackets     Assumption = "equal_packets"
	CachedPacket     Assumption = "cached_packet"
	Heartbeat        Assumption = "heartbeat"
	RefusalsAgree    Assumption = "refusals_agree"
	RefusalIsFinal   Assumption = "refusal_is_final"
	SlotFreed        Assumption = "slot_freed"
	FlushHour        Assumption = "flush_hour"
	SameToken        Assumption = "same_token"
	IndexTime        Assumption = "index_time"
	KnownPackets     Assumption = "known_packets"
	InstrumentTokens Assumption = "instrument_tokens"
	WholeFile        Assumption = "whole_file"
	OrderFields      Assumption = "order_fields"
	HistoryLimits    Assumption = "history_limits"
	RequestLimits    Assumption = "request_limits"
)

// AssumptionVerdict is what was found of an assumption.
type AssumptionVerdict string

// The verdicts. One contradiction stands, however often the fact is seen later.
const (
	AssumptionOpen         AssumptionVerdict = "open" // neither seen nor contradicted yet
	AssumptionSeen         AssumptionVerdict = "seen"
	AssumptionContradicted AssumptionVerdict = "contradicted"
)

// AssumptionStatus is a row of GET /api/v1/assumptions.
type AssumptionStatus struct {
	Name                Assumption        `json:"name"`                  // a word for it
	Claim               string            `json:"claim"`                 // what the program takes for true
	Source              string            `json:"source"`                // where that is written
	Verdict             AssumptionVerdict `json:"verdict"`               // open, seen, contradicted
	Seen                uint64            `json:"seen"`                  // number of times that it was looked at
	Contradicted        uint64            `json:"contradicted"`          // number of times that it was not so
	FirstContradictedAt *time.Time        `json:"first_contradicted_at"` // exchange time; null: never
	Fallback            string            `json:"fallback"`              // what the program does when it is not so
}
