package wire

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kitestring/messages"
)

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Command // zero: an error
	}{
		{"subscribe", `{"a":"subscribe","v":[408065,884737]}`, Command{ActionSubscribe, 0, []uint32{408065, 884737}}},
		{"unsubscribe", `{"a":"unsubscribe","v":[408065]}`, Command{ActionUnsubscribe, 0, []uint32{408065}}},
		{"mode", `{"a":"mode","v":["full",[408065]]}`, Command{ActionMode, messages.ModeFull, []uint32{408065}}},
		{"mode ltp", `{"a":"mode","v":["ltp",[1,2]]}`, Command{ActionMode, messages.ModeLTP, []uint32{1, 2}}},
		{"other order, other keys", ` { "v" : ["quote", []], "x": {}, "a":"mode"}`, Command{ActionMode, messages.ModeQuote, []uint32{}}},
		{"quoted instrument tokens", `{"a":"subscribe","v":["408065",2]}`, Command{ActionSubscribe, 0, []uint32{408065, 2}}},
		{"nothing to subscribe", `{"a":"subscribe"}`, Command{ActionSubscribe, 0, nil}},
		{"null", `{"a":"subscribe","v":null}`, Command{ActionSubscribe, 0, nil}},
		{"unknown action", `{"a":"order","v":[1]}`, Command{}},
		{"unknown mode", `{"a":"mode","v":["ltpc",[1]]}`, Command{}},
		{"no instrument tokens to the mode", `{"a":"mode","v":["full"]}`, Command{}},
		{"mode not a string", `{"a":"mode","v":[1,[1]]}`, Command{}},
		{"mode without a value", `{"a":"mode"}`, Command{}},
		{"negative", `{"a":"subscribe","v":[-1]}`, Command{}},
		{"too big", `{"a":"subscribe","v":[4294967296]}`, Command{}},
		{"fraction", `{"a":"subscribe","v":[1.5]}`, Command{}},
		{"not a list", `{"a":"subscribe","v":{"x":1}}`, Command{}},
		{"not JSON", `subscribe`, Command{}},
		{"empty", ``, Command{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseCommand([]byte(c.text))
			if (err != nil) != (c.want.Action == "") {
				t.Fatalf("%+v, %v", got, err)
			}
			if err == nil && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// Our commands are, byte for byte, what the official clients send.
func TestAppendCommand(t *testing.T) {
	for _, c := range []Command{
		{ActionSubscribe, 0, []uint32{408065, 1<<32 - 1}},
		{ActionUnsubscribe, 0, []uint32{0}},
		{ActionMode, messages.ModeQuote, []uint32{408065, 5633}},
	} {
		var value any = c.InstrumentTokens
		if c.Action == ActionMode {
			value = []any{c.Mode, c.InstrumentTokens}
		}
		want, err := json.Marshal(struct {
			Action string `json:"a"`
			Value  any    `json:"v"`
		}{c.Action, value})
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendCommand(nil, c); string(got) != string(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCommandRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Command{
			Action:           rapid.SampledFrom([]string{ActionSubscribe, ActionUnsubscribe, ActionMode}).Draw(t, "action"),
			InstrumentTokens: rapid.SliceOf(rapid.Uint32()).Draw(t, "instrument tokens"),
		}
		if c.Action == ActionMode {
			c.Mode = rapid.SampledFrom([]messages.Mode{messages.ModeLTP, messages.ModeQuote, messages.ModeFull}).Draw(t, "mode")
		}
		got, err := ParseCommand(AppendCommand(nil, c))
		if err != nil || got.Action != c.Action || got.Mode != c.Mode || !slices.Equal(got.InstrumentTokens, c.InstrumentTokens) {
			t.Fatalf("%+v came back as %+v, %v", c, got, err)
		}
	})
}

func FuzzParseCommand(f *testing.F) {
	f.Add([]byte(`{"a":"subscribe","v":[408065]}`))
	f.Add([]byte(`{"a":"mode","v":["full",["1"]]}`))
	f.Add([]byte(`{"a":"unsubscribe","v":[01]}`))
	f.Add([]byte(`{"a":"subscribe","v":[4294967296,1,]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCommand(text)
		if plain, ok := parsePlain(text); ok {
			any, err := parseAny(text)
			if err != nil || any.Action != plain.Action || any.Mode != plain.Mode || !slices.Equal(any.InstrumentTokens, plain.InstrumentTokens) {
				t.Fatalf("read as %+v, and as %+v, %v", plain, any, err)
			}
		}
		if err != nil {
			return
		}
		again, err := ParseCommand(AppendCommand(nil, c))
		if err != nil || again.Action != c.Action || again.Mode != c.Mode || !slices.Equal(again.InstrumentTokens, c.InstrumentTokens) {
			t.Fatalf("%+v came back as %+v, %v", c, again, err)
		}
	})
}
