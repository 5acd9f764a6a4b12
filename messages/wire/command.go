package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"kitestring/messages"
)

// The actions of a command.
const (
	ActionSubscribe   = "subscribe"
	ActionUnsubscribe = "unsubscribe"
	ActionMode        = "mode"
)

// Command is what a client sends. Kite acknowledges nothing; instruments that
// are subscribed start in quote; a mode for an instrument that is not
// subscribed subscribes it too.
type Command struct {
	Action           string        // subscribe, unsubscribe, mode
	Mode             messages.Mode // of ActionMode only
	InstrumentTokens []uint32
}

// AppendCommand writes c as Kite's JSON, at no allocation but dst's growth:
//
//	{"a":"subscribe","v":[408065,884737]}
//	{"a":"mode","v":["full",[408065]]}
func AppendCommand(dst []byte, c Command) []byte {
	dst = append(dst, `{"a":"`...)
	dst = append(dst, c.Action...)
	dst = append(dst, `","v":[`...)
	if c.Action == ActionMode {
		dst = append(dst, '"')
		dst = append(dst, c.Mode.String()...)
		dst = append(dst, `",[`...)
	}
	for i, token := range c.InstrumentTokens {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(token), 10)
	}
	if c.Action == ActionMode {
		dst = append(dst, ']')
	}
	return append(dst, "]}"...)
}

// ParseCommand reads a client's text message. It is as lenient as Kite:
// unknown keys, empty lists and instrument tokens in quotes are fine. An
// error says what is wrong with it; Kite itself stays silent.
func ParseCommand(text []byte) (Command, error) {
	if c, ok := parsePlain(text); ok {
		return c, nil
	}
	return parseAny(text)
}

func parseAny(text []byte) (Command, error) {
	var in struct {
		Action string          `json:"a"`
		Value  json.RawMessage `json:"v"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return Command{}, fmt.Errorf("parse command: %w", err)
	}
	c := Command{Action: in.Action}
	tokens := in.Value
	switch in.Action {
	case ActionSubscribe, ActionUnsubscribe:
	case ActionMode:
		var pair []json.RawMessage
		if err := json.Unmarshal(in.Value, &pair); err != nil {
			return Command{}, fmt.Errorf("parse mode command: %w", err)
		}
		if len(pair) != 2 {
			return Command{}, errors.New("parse mode command: want a mode and a list of instrument tokens")
		}
		var mode string
		if err := json.Unmarshal(pair[0], &mode); err != nil {
			return Command{}, fmt.Errorf("parse mode command: %w", err)
		}
		if c.Mode = modeOf(mode); c.Mode == messages.ModeNone {
			return Command{}, fmt.Errorf("parse mode command: unknown mode %q", mode)
		}
		tokens = pair[1]
	default:
		return Command{}, fmt.Errorf("parse command: unknown action %q", in.Action)
	}
	list, err := parseTokens(tokens)
	if err != nil {
		return Command{}, fmt.Errorf("parse %s command: %w", in.Action, err)
	}
	c.InstrumentTokens = list
	return c, nil
}

// parsePlain reads what AppendCommand writes, in a tenth of the time: a swap
// waits for it. Anything else is not ok, and no error yet.
func parsePlain(text []byte) (c Command, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(`{"a":"`))
	if !ok {
		return c, false
	}
	end := []byte("]}")
	for _, action := range [...]string{ActionSubscribe, ActionUnsubscribe, ActionMode} {
		if after, ok := bytes.CutPrefix(rest, []byte(action+`","v":[`)); ok {
			c.Action, rest = action, after
		}
	}
	switch c.Action {
	case "":
		return c, false
	case ActionMode:
		for _, m := range [...]messages.Mode{messages.ModeLTP, messages.ModeQuote, messages.ModeFull} {
			if after, ok := bytes.CutPrefix(rest, []byte(`"`+m.String()+`",[`)); ok {
				c.Mode, rest = m, after
			}
		}
		if c.Mode == messages.ModeNone {
			return c, false
		}
		end = []byte("]]}")
	}
	if rest, ok = bytes.CutSuffix(rest, end); !ok {
		return c, false
	}
	c.InstrumentTokens = make([]uint32, 0, bytes.Count(rest, []byte(","))+1)
	for {
		digits := 0
		var token uint64
		for digits < len(rest) && digits <= 10 && '0' <= rest[digits] && rest[digits] <= '9' {
			token = token*10 + uint64(rest[digits]-'0')
			digits++
		}
		if digits == 0 || digits > 1 && rest[0] == '0' || token > math.MaxUint32 {
			return c, false
		}
		c.InstrumentTokens = append(c.InstrumentTokens, uint32(token))
		if rest = rest[digits:]; len(rest) == 0 {
			return c, true
		}
		if rest[0] != ',' {
			return c, false
		}
		rest = rest[1:]
	}
}

func modeOf(name string) messages.Mode {
	for _, m := range [...]messages.Mode{messages.ModeLTP, messages.ModeQuote, messages.ModeFull} {
		if m.String() == name {
			return m
		}
	}
	return messages.ModeNone
}

func parseTokens(raw json.RawMessage) ([]uint32, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var plain []uint32
	if json.Unmarshal(raw, &plain) == nil {
		return plain, nil
	}
	var items []json.Number // takes numbers with and without quotes
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("instrument tokens: %w", err)
	}
	list := make([]uint32, len(items))
	for i, item := range items {
		token, err := strconv.ParseUint(item.String(), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("instrument token: %w", err)
		}
		list[i] = uint32(token)
	}
	return list, nil
}
