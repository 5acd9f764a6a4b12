package wire

import (
	"encoding/json"
	"testing"
)

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		kind        TextType
		data        string
		message     string
	}{
		{"order", `{"type":"order","data":{"order_id":"1","status":"COMPLETE"}}`, TextOrder, `{"order_id":"1","status":"COMPLETE"}`, `{"order_id":"1","status":"COMPLETE"}`},
		{"error", `{"type":"error","data":"bad \"thing\""}`, TextError, `"bad \"thing\""`, `bad "thing"`},
		{"error with an object", `{"type":"error","data":{"x":1}}`, TextError, `{"x":1}`, `{"x":1}`},
		{"error with null", `{"type":"error","data":null}`, TextError, `null`, `null`},
		{"error without data", `{"type":"error"}`, TextError, ``, ``},
		{"message", `{"data":"hello","type":"message"}`, TextMessage, `"hello"`, `hello`},
		{"instruments_meta", `{"type":"instruments_meta","data":{"count":86481,"etag":"W/\"a\""}}`, TextInstrumentsMeta, `{"count":86481,"etag":"W/\"a\""}`, `{"count":86481,"etag":"W/\"a\""}`},
		{"app_code", `{"type":"app_code","timestamp":"2025-08-04T13:50:28+05:30"}`, TextAppCode, ``, ``},
		{"unknown", `{"type":"weather","data":[1]}`, TextOther, `[1]`, `[1]`},
		{"other is a word like any", `{"type":"other"}`, TextOther, ``, ``},
		{"type not a string", `{"type":7,"data":1}`, TextOther, `1`, `1`},
		{"no type", `{}`, TextOther, ``, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseText([]byte(c.frame))
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != c.kind || string(got.Data) != c.data || got.Message() != c.message {
				t.Errorf("got %+v, message %q", got, got.Message())
			}
			again, err := ParseText(AppendText(nil, got))
			if err != nil || again.Type != got.Type || string(again.Data) != string(got.Data) || again.Timestamp != got.Timestamp {
				t.Errorf("written and read again: %+v, %v", again, err)
			}
		})
	}
	for _, frame := range []string{``, `nonsense`, `[]`, `"x"`, `{"type":"error"`, "{\"type\":\"error\",\"data\":\x00}"} {
		if got, err := ParseText([]byte(frame)); err == nil {
			t.Errorf("%q was read as %+v", frame, got)
		}
	}
}

func TestOrderOfText(t *testing.T) {
	for frame, want := range map[string][2]string{
		`{"type":"order","data":{"order_id":"220303000308932","status":"UPDATE"}}`:   {"220303000308932", "UPDATE"},
		`{"type":"order","data":"soon"}`:                                             {},
		`{"type":"order"}`:                                                           {},
		`{"type":"message","data":{"order_id":"220303000308932","status":"UPDATE"}}`: {},
	} {
		text, err := ParseText([]byte(frame))
		if err != nil {
			t.Fatal(err)
		}
		if id, status := text.Order(); id != want[0] || status != want[1] {
			t.Errorf("%s: order %q %q", frame, id, status)
		}
	}
	data := mock(t, "postback.json")
	text, err := ParseText(AppendText(nil, Text{Type: TextOrder, Data: data}))
	if err != nil {
		t.Fatal(err)
	}
	if id, status := text.Order(); id == "" || status == "" {
		t.Errorf("the published postback has order %q %q", id, status)
	}
}

func FuzzParseText(f *testing.F) {
	for _, seed := range []string{
		`{"type":"order","data":{}}`, `{"type":"error","data":null}`, `{"type":"error"}`,
		`{"type":"app_code","timestamp":"2025-08-04T13:50:28+05:30"}`, `{"type":`, ``, `[1]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		text, err := ParseText(frame)
		if err != nil {
			return
		}
		if text.Data != nil && !json.Valid(text.Data) {
			t.Fatalf("data is no JSON: %q", text.Data)
		}
		_ = text.Message()
		_, _ = text.Order()
		again, err := ParseText(AppendText(nil, text))
		if err != nil || again.Type != text.Type || string(again.Data) != string(text.Data) {
			t.Fatalf("%+v came back as %+v, %v", text, again, err)
		}
	})
}
