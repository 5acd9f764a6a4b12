package simulator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// Recording is a recorded day that takes the place of the exchange's prices.
type Recording struct {
	Day         string // spelled 2026-11-27
	Instruments []byte // the instruments file of the day, as it was sent
	Sequenced   bool   // the packets count ticks in the last quantity
	// Next is the next message: its time, and its packets as they were sent, valid
	// until the call after it. io.EOF: the end.
	Next  func() (at time.Time, packets [][]byte, err error)
	Close func() // ends Next; nil: nothing is to be done
	// History is what the day's server got of the exchange's history, by instrument:
	// each minute once, oldest first. It stands before what the packets say.
	History map[uint32][]messages.OldMinute
	From    time.Time // where it begins; zero: with the first message
	Max     bool      // as fast as the sockets are read, in place of Config.Speed
}

const (
	// primed is how much of the beginning is read ahead: an instrument whose first
	// packet is in there has it as its cached packet from the start, so that a
	// client learns what to subscribe to.
	primed = 5 * time.Second
	// settled is for how long no subscription has come when the recording starts to
	// run: a client that subscribes in steps misses nothing. complete is the same
	// when everything is subscribed to that the beginning has.
	settled  = 5 * time.Second
	complete = 300 * time.Millisecond
	// longest is the longest silence of a recording that is waited for.
	longest = time.Minute
	// atOnce is how many packets go out together when they are due.
	atOnce = 512
)

// player plays a recording. Its fields are guarded by Exchange.mu; Next is
// called by one goroutine at a time.
type player struct {
	Recording
	session    *session
	ahead      []recorded // read ahead, and not played yet
	first      time.Time
	speed      float64   // when it is not the highest
	subscribed time.Time // when somebody last subscribed, real time; zero: nobody has
	changed    chan struct{}
	running    bool
	ended      bool
	last       time.Time // the message that was played last
}

// recorded is a copy of a message.
type recorded struct {
	at      time.Time
	packets [][]byte
}

// next is the next message, of those read ahead or of the tape.
func (p *player) next() (recorded, error) {
	if len(p.ahead) > 0 {
		m := p.ahead[0]
		p.ahead = p.ahead[1:]
		return m, nil
	}
	at, packets, err := p.Next()
	return recorded{at, packets}, err
}

// openTape begins a recording: its first message is read.
func openTape(r Recording, speed float64) (*player, error) {
	at, packets, err := r.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("nothing is recorded of %s", r.Day)
	case err != nil:
		return nil, err
	}
	p := &player{Recording: r, speed: speed, first: at, changed: make(chan struct{})}
	p.ahead = []recorded{copied(at, packets)}
	if p.From.Before(at) {
		p.From = at
	}
	return p, nil
}

func copied(at time.Time, packets [][]byte) recorded {
	m := recorded{at: at}
	for _, packet := range packets {
		m.packets = append(m.packets, bytes.Clone(packet))
	}
	return m
}

// prime plays, for nobody, what lies before the beginning, and gives each
// instrument that has had no packet its first one.
func (e *Exchange) prime() error {
	p := e.tape
	var ahead []recorded
	// Where the recorder's clock was set back, what comes later has an earlier time.
	begun := p.From.Equal(p.first)
	for {
		m, err := p.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !begun && m.at.Before(p.From) {
			e.playMessage(m)
			continue
		}
		begun = true
		if ahead = append(ahead, copied(m.at, m.packets)); m.at.Sub(p.From) > primed {
			break
		}
	}
	if len(ahead) == 0 {
		return fmt.Errorf("nothing is recorded of %s from %s on", p.Day, p.From.In(ist.Zone).Format(time.TimeOnly))
	}
	p.ahead = ahead
	for _, m := range ahead {
		for _, packet := range m.packets {
			in := e.recordedInstrument(binary.BigEndian.Uint32(packet))
			if in.raw == nil {
				in.raw, in.stale = bytes.Clone(packet), true
			}
			// The first one may be the quote from before the mode had acted. One that
			// says something else is not sent ahead of its time.
			if in.played == 0 && in.primed == nil && len(packet) > len(in.raw) && bytes.HasPrefix(packet, in.raw) {
				in.primed = packet
			}
		}
	}
	return nil
}

// runTape plays at the clock's speed, or as fast as the sockets are read.
func (e *Exchange) runTape(ctx context.Context) error {
	if !e.awaitClients(ctx) {
		return nil
	}
	for sent := 0; ; {
		m, err := e.tape.next()
		if errors.Is(err, io.EOF) {
			e.endTape()
			<-ctx.Done()
			return nil
		}
		if err != nil {
			return fmt.Errorf("play the recording: %w", err)
		}
		if !e.reach(ctx, m.at) {
			e.tape.ahead = append([]recorded{copied(m.at, m.packets)}, e.tape.ahead...) // for the next incarnation
			return nil
		}
		e.mu.Lock()
		e.playMessage(m)
		sent += len(m.packets)
		e.mu.Unlock()
		if sent >= atOnce && !e.delivered(ctx) {
			return nil
		}
		sent %= atOnce
	}
}

// delivered hands over what is under construction and waits until the sockets
// have it: a recording waits for its readers. False: ctx has ended.
func (e *Exchange) delivered(ctx context.Context) bool {
	e.mu.Lock()
	e.flush()
	e.mu.Unlock()
	select {
	case <-ctx.Done():
		return false
	case <-e.inFlight.landed():
		return true
	}
}

// awaitClients waits until somebody has subscribed and goes on no further.
func (e *Exchange) awaitClients(ctx context.Context) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		e.mu.Lock()
		p := e.tape
		if !p.running && !p.subscribed.IsZero() && time.Since(p.subscribed) >= e.patience() {
			p.running = true
			if !p.Max {
				e.clock.set(clockSetting{Speed: &p.speed})
			}
		}
		running := p.running
		e.mu.Unlock()
		if running {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// patience is how long no subscription may have come. mu is held.
func (e *Exchange) patience() time.Duration {
	for token, in := range e.listing.tokens {
		if in.raw != nil && e.topics[token] == nil {
			return settled
		}
	}
	return complete
}

// reach waits for a moment of the recording; false: ctx has ended.
func (e *Exchange) reach(ctx context.Context, at time.Time) bool {
	for {
		e.mu.Lock()
		p := e.tape
		if p.Max && len(e.sockets) > 0 {
			if at.After(e.clock.Now()) {
				e.clock.tick(at)
			}
			e.mu.Unlock()
			return ctx.Err() == nil
		}
		if now := e.clock.Now(); !p.Max && at.Sub(now) > longest {
			e.clock.set(clockSetting{Now: &at})
		}
		changed, hurry := p.changed, p.Max
		e.mu.Unlock()
		if hurry { // nobody reads: it stands
			select {
			case <-ctx.Done():
				return false
			case <-changed:
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		now, speed, _, moved := e.clock.status()
		left := at.Sub(now)
		if left <= 0 {
			return true
		}
		if !e.delivered(ctx) {
			return false
		}
		var timer <-chan time.Time
		if speed > 0 {
			timer = time.After(time.Duration(float64(left)/speed) + time.Millisecond)
		}
		select {
		case <-ctx.Done():
			return false
		case <-moved:
		case <-changed:
		case <-timer:
		}
	}
}

// endTape lets time go on without ticks.
func (e *Exchange) endTape() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flush()
	if e.tape.ended {
		return
	}
	e.tape.ended = true
	if speed := 1.0; e.tape.Max {
		e.clock.set(clockSetting{Speed: &speed})
	}
	e.log.Info("the recording was played to its end", "day", e.tape.Day, "ticks", e.counts.ticks)
}

// playMessage plays a message. Called with mu held.
func (e *Exchange) playMessage(m recorded) {
	e.tape.last = m.at
	for _, packet := range m.packets {
		in := e.recordedInstrument(binary.BigEndian.Uint32(packet))
		e.recordPacket(in, packet, m.at)
		in.raw, in.stale, in.primed = append(in.raw[:0], packet...), true, nil
		in.played++
		e.counts.ticks++
		if t := e.topics[in.Token]; t != nil {
			for _, sub := range t.subs {
				if !sub.socket.silent {
					e.send(sub.socket, t, cut(packet, sub.mode))
				}
			}
		}
	}
}

// cut is a packet in a mode: one of a lower mode is the beginning of one of a
// higher mode. What was recorded in a lower mode stays as it is.
func cut(packet []byte, mode messages.Mode) []byte {
	index := len(packet) == 28 || len(packet) == 32
	switch {
	case mode == messages.ModeLTP:
		return packet[:8]
	case mode == messages.ModeQuote && index:
		return packet[:28]
	case mode == messages.ModeQuote:
		return packet[:min(44, len(packet))]
	}
	return packet
}

// cached is the answer to a subscription; nil: nothing has come yet.
func (in *instrument) cached(mode messages.Mode) []byte {
	switch {
	case in.raw == nil:
		return nil
	case mode == messages.ModeFull && in.primed != nil:
		return in.primed
	}
	return cut(in.raw, mode)
}

// recordPacket adds a packet to the day's minutes.
func (e *Exchange) recordPacket(in *instrument, packet []byte, at time.Time) {
	word := func(p []byte, offset int) uint32 { return binary.BigEndian.Uint32(p[offset:]) }
	when := at.Unix()
	var volume, oi uint32
	switch len(packet) {
	case 184:
		when, oi = int64(word(packet, 60)), word(packet, 48)
		fallthrough
	case 44:
		if volume = word(packet, 16); len(in.raw) >= 44 {
			volume -= min(volume, word(in.raw, 16))
		}
	case 32:
		when = int64(word(packet, 28))
	}
	s := e.tape.session
	if second := when - s.open.Unix(); second >= 0 && second < int64(s.length) {
		in.session = s
		e.record(in, int32(second/60), int32(word(packet, 4)), volume, oi)
	}
}

// recordedMinutes are the minutes of a day: those that the day's server got as
// history, and of the others what the packets say.
func (e *Exchange) recordedMinutes(in *instrument, s *session) []minute {
	var seen, list []minute
	for _, d := range in.days {
		if d.day == s.day {
			seen = d.minutes
		}
	}
	history := e.tape.History[in.Token]
	from, _ := slices.BinarySearchFunc(history, s.open, func(m messages.OldMinute, at time.Time) int { return m.Start().Compare(at) })
	now := e.clock.Now()
	paise := func(rupees float64) int32 { return int32(math.Round(100 * rupees)) }
	for _, h := range history[from:] {
		at := int(h.Start().Sub(s.open) / time.Minute)
		if at*60 >= s.length || h.Start().Add(time.Minute).After(now) {
			break
		}
		list = append(list, minute{int32(at), paise(h[1]), paise(h[2]), paise(h[3]), paise(h[4]), uint32(h[5]), uint32(h[6])})
	}
	if list == nil {
		return seen
	}
	for _, m := range seen {
		i, found := slices.BinarySearchFunc(list, m.at, func(h minute, at int32) int { return cmp.Compare(h.at, at) })
		if !found {
			list = slices.Insert(list, i, m)
		}
	}
	return list
}

// recordedInstrument is what the recording has under an instrument token; one
// that is not in the day's file is known by its token only.
func (e *Exchange) recordedInstrument(token uint32) *instrument {
	in := e.listing.tokens[token]
	if in == nil {
		in = &instrument{Instrument: messages.Instrument{Token: token}, paise: 5}
		in.trading.session, in.away = e.tape.session, true
		e.listing.tokens[token] = in
		if t := e.topics[token]; t != nil {
			e.bind(t, in)
		}
	}
	return in
}

// settleTape decodes an instrument's last packet.
func (in *instrument) settleTape(s *session) {
	in.session = s
	if !in.stale {
		return
	}
	in.stale = false
	in.packet = wire.Packet{}
	if !wire.DecodePacket(in.raw, &in.packet.Tick) {
		return
	}
	if len(in.raw) == 184 {
		in.packet.OIDayHigh, in.packet.OIDayLow = binary.BigEndian.Uint32(in.raw[52:]), binary.BigEndian.Uint32(in.raw[56:])
		in.packet.Depth, _ = wire.DepthOf(in.raw)
	}
}

// listTape lists what the instruments file of the day has.
func (e *Exchange) listTape() error {
	b := newListing()
	b.day, b.version, b.files = ist.Day(e.tape.From), 1, map[string]*instrumentsFile{}
	rows := csv.NewReader(bytes.NewReader(e.tape.Instruments))
	rows.FieldsPerRecord, rows.LazyQuotes = -1, true
	columns := map[string]int{}
	for n := 0; ; n++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the instruments file of the recorded day: %w", err)
		}
		if n == 0 {
			for i, name := range row {
				columns[name] = i
			}
			continue
		}
		field := func(name string) string {
			if i, ok := columns[name]; ok && i < len(row) {
				return row[i]
			}
			return ""
		}
		token, ok := parseToken(field("instrument_token"))
		if !ok {
			continue
		}
		in := &instrument{Instrument: messages.Instrument{
			Token: token, Exchange: field("exchange"), Tradingsymbol: field("tradingsymbol"), Name: field("name"), Type: field("instrument_type"), Segment: field("segment"),
		}}
		in.TickSize, _ = strconv.ParseFloat(field("tick_size"), 64)
		in.LotSize, _ = strconv.Atoi(field("lot_size"))
		in.Strike, _ = strconv.ParseFloat(field("strike"), 64)
		in.Expiry, _ = time.ParseInLocation(time.DateOnly, field("expiry"), ist.Zone)
		in.paise = max(1, int32(100*in.TickSize))
		in.session, in.away = e.tape.session, true
		b.list = append(b.list, in)
		b.symbols[symbolKey(in.Instrument)], b.tokens[token] = in, in
	}
	e.listing = b
	return nil
}

// tapeFile is the recorded instruments file, of one exchange or of all (""), as
// it was sent.
func (e *Exchange) tapeFile(exchange string) []byte {
	if exchange == "" {
		return e.tape.Instruments
	}
	var out []byte
	for line := range bytes.Lines(e.tape.Instruments) {
		text := bytes.TrimRight(line, "\r\n")
		if len(out) == 0 || bytes.HasSuffix(text, []byte(","+exchange)) {
			out = append(out, line...) // the header is the first line
		}
	}
	return out
}

// ReplayState is how far a recording is.
type ReplayState struct {
	Day     string    `json:"day"`
	At      time.Time `json:"at"`    // the recording's time
	Speed   float64   `json:"speed"` // recorded seconds a real second; 0: it stands, or plays at the highest speed
	Max     bool      `json:"max"`   // as fast as the sockets are read
	Waiting bool      `json:"waiting"`
	Ended   bool      `json:"ended"`
	Ticks   int64     `json:"ticks"` // played
}

// Replay is how far the recording is; false: the exchange makes its own prices.
func (e *Exchange) Replay() (ReplayState, bool) {
	if e.tape == nil {
		return ReplayState{}, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.tape
	speed := p.speed
	if p.Max {
		speed = 0
	}
	return ReplayState{Day: p.Day, At: e.clock.Now(), Speed: speed, Max: p.Max, Waiting: !p.running, Ended: p.ended, Ticks: e.counts.ticks}, true
}

// SetReplaySpeed changes how fast the recording is played; 0 lets it stand.
func (e *Exchange) SetReplaySpeed(speed float64, highest bool) error {
	if speed < 0 || speed > maxSpeed {
		return fmt.Errorf("speed %g: choose between 0 and %d, or max", speed, maxSpeed)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.tape
	p.speed, p.Max = speed, highest
	if highest {
		speed = 0 // the messages move the clock
	}
	if p.running && !p.ended {
		e.clock.set(clockSetting{Speed: &speed})
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}
