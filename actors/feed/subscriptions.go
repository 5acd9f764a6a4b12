package feed

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// placed is an instrument of the union of all wants.
type placed struct {
	mode   messages.Mode
	symbol string
	shard  int
}

// sub is one subscription of a shard.
type sub struct {
	token uint32
	mode  messages.Mode
}

// Refusal is a want that the feed does not follow.
type Refusal struct {
	Owner           string
	InstrumentToken uint32
	Tradingsymbol   string
	Reason          string // what is wrong, and what is allowed
}

// want replaces an owner's set, and answers which shards' subscriptions have
// changed and which wants were refused: sockets carry most instruments each. An instrument keeps its shard for as
// long as anybody wants it; a new one takes the first shard with room.
func (s *Store) want(w messages.WantInstruments, sockets, most int) (changed []int, refused []Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.owners, func(o messages.WantInstruments) bool { return o.Owner == w.Owner })
	if at < 0 {
		at = len(s.owners)
		s.owners = append(s.owners, w)
	}
	s.owners[at] = messages.WantInstruments{Owner: w.Owner, Wants: slices.Clone(w.Wants)}
	union, refused := s.union()
	var room [MaxShards]int
	for i := range sockets {
		room[i] = most
	}
	var newcomers []uint32
	for token, p := range union {
		if was, ok := s.wanted[token]; ok {
			p.shard = was.shard
			union[token] = p
			room[p.shard]--
		} else {
			newcomers = append(newcomers, token)
		}
	}
	slices.Sort(newcomers)
	for _, token := range newcomers {
		p := union[token]
		for p.shard < MaxShards && room[p.shard] <= 0 {
			p.shard++
		}
		if p.shard == MaxShards {
			delete(union, token)
			refused = append(refused, Refusal{"", token, p.symbol, tooMuch(sockets, most)})
			continue
		}
		room[p.shard]--
		union[token] = p
	}
	changed = s.place(union)
	s.refused = refused
	return changed, refused
}

// tooMuch says what is allowed.
func tooMuch(sockets, most int) string {
	if sockets < MaxShards {
		return fmt.Sprintf("this server may open %d of Kite's %d sockets, which carry %d instruments (feed.sockets of the configuration)", sockets, MaxShards, sockets*most)
	}
	return fmt.Sprintf("Kite streams at most %d instruments to an API key", sockets*most)
}

// union merges the wants of all owners: the highest mode wins. Two symbols for
// one instrument token mean that one of them stems from a list of another day
// (tokens are reused after expiry): the later one is refused.
func (s *Store) union() (map[uint32]placed, []Refusal) {
	union := map[uint32]placed{}
	var refused []Refusal
	for _, o := range s.owners {
		for _, w := range o.Wants {
			p, ok := union[w.InstrumentToken]
			if ok && p.symbol != "" && w.Tradingsymbol != "" && p.symbol != w.Tradingsymbol {
				refused = append(refused, Refusal{
					o.Owner, w.InstrumentToken, w.Tradingsymbol,
					fmt.Sprintf("instrument token %d is %s here: it was reused after an expiry, or the list of instruments is of another day", w.InstrumentToken, p.symbol),
				})
				continue
			}
			if p.symbol == "" {
				p.symbol = w.Tradingsymbol
			}
			p.mode = min(max(p.mode, w.Mode, messages.ModeLTP), messages.ModeFull)
			union[w.InstrumentToken] = p
		}
	}
	return union, refused
}

// place makes union the wanted set, in the tables too.
func (s *Store) place(union map[uint32]placed) (changed []int) {
	var dirty [MaxShards]bool
	for token, was := range s.wanted {
		now, ok := union[token]
		if ok && now.symbol != "" && was.symbol != "" && now.symbol != was.symbol {
			ok = false // another contract: nothing of the old one may stay
		}
		if !ok {
			s.tables[was.shard].unset(token)
			dirty[was.shard] = true
		}
	}
	// In order: frames tend to have one too, and neighbours share cache lines.
	for _, token := range slices.Sorted(maps.Keys(union)) {
		p := union[token]
		if was, ok := s.wanted[token]; !ok || was != p {
			s.tables[p.shard].set(token, p.mode)
			dirty[p.shard] = true
		}
	}
	s.wanted = union
	var subs [MaxShards][]sub
	for token, p := range union {
		subs[p.shard] = append(subs[p.shard], sub{token, p.mode})
	}
	for i := range dirty {
		if dirty[i] {
			slices.SortFunc(subs[i], func(a, b sub) int { return cmp.Compare(a.token, b.token) })
			s.subs[i] = subs[i]
			changed = append(changed, i)
		}
	}
	return changed
}

// subscriptions is what a shard's socket should be subscribed to. Nobody may
// change the answer.
func (s *Store) subscriptions(shard int) []sub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs[shard]
}

// set gives an instrument a slot, or another mode.
func (t *table) set(token uint32, mode messages.Mode) {
	t.lock()
	defer t.mu.Unlock()
	at := t.index.find(token)
	if at < 0 {
		if n := len(t.free); n > 0 {
			at, t.free = t.free[n-1], t.free[:n-1]
		} else {
			at = len(t.slots)
			t.slots = append(t.slots, slot{})
		}
		t.slots[at] = slot{token: token, used: true, accept: mode}
		t.index.set(token, at)
		if t.merger != nil {
			t.merger.Expect(at)
		}
	}
	s := &t.slots[at]
	s.want = mode
	s.accept = min(s.accept, mode) // a higher mode counts from its first packet on
}

// unset takes an instrument out.
func (t *table) unset(token uint32) {
	t.lock()
	defer t.mu.Unlock()
	at := t.index.find(token)
	if at < 0 {
		return
	}
	t.index.remove(token)
	t.slots[at] = slot{}
	t.free = append(t.free, at)
	if t.merger != nil {
		t.merger.Forget(at)
	}
}

// commandMost is how many instruments one command names.
const commandMost = 500

// commands brings a socket from the subscriptions that it has to those that
// it should have; both in order. A new subscription is in quote until its mode
// is set.
func commands(have, want []sub) (out []wire.Command) {
	var gone []uint32
	fresh := make([]uint32, 0, len(want))
	var modes [messages.ModeFull + 1][]uint32
	for len(have) > 0 || len(want) > 0 {
		switch {
		case len(want) == 0 || len(have) > 0 && have[0].token < want[0].token:
			gone = append(gone, have[0].token)
			have = have[1:]
			continue
		case len(have) == 0 || want[0].token < have[0].token:
			fresh = append(fresh, want[0].token)
			if w := want[0]; w.mode != messages.ModeQuote {
				modes[w.mode] = append(modes[w.mode], w.token)
			}
		default:
			if w := want[0]; w.mode != have[0].mode {
				modes[w.mode] = append(modes[w.mode], w.token)
			}
			have = have[1:]
		}
		want = want[1:]
	}
	for part := range slices.Chunk(gone, commandMost) {
		out = append(out, wire.Command{Action: wire.ActionUnsubscribe, InstrumentTokens: part})
	}
	for part := range slices.Chunk(fresh, commandMost) {
		out = append(out, wire.Command{Action: wire.ActionSubscribe, InstrumentTokens: part})
	}
	for _, mode := range [...]messages.Mode{messages.ModeFull, messages.ModeQuote, messages.ModeLTP} {
		for part := range slices.Chunk(modes[mode], commandMost) {
			out = append(out, wire.Command{Action: wire.ActionMode, Mode: mode, InstrumentTokens: part})
		}
	}
	return out
}
