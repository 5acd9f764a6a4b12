package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// TextType is the kind of a text message: a closed set, fit for a metric's
// label.
type TextType string

// The kinds of text messages. The last two of Kite's come right after the
// connect and are not in its documentation.
const (
	TextOrder           TextType = "order"
	TextError           TextType = "error"
	TextMessage         TextType = "message"
	TextInstrumentsMeta TextType = "instruments_meta"
	TextAppCode         TextType = "app_code"
	TextOther           TextType = "other" // anything else: Name says what
)

var textTypes = map[string]TextType{
	"order": TextOrder, "error": TextError, "message": TextMessage,
	"instruments_meta": TextInstrumentsMeta, "app_code": TextAppCode,
}

// Text is a text message of the server.
type Text struct {
	Type      TextType
	Name      string          // the type as sent
	Data      json.RawMessage // any JSON value; nil when absent
	Timestamp string          // of app_code, as sent, e.g. 2025-08-04T13:50:28+05:30
}

// ParseText reads a text message. An unknown type is no error; what is not a
// JSON object is. Data is a copy.
func ParseText(frame []byte) (Text, error) {
	var in struct {
		Type      json.RawMessage `json:"type"`
		Data      json.RawMessage `json:"data"`
		Timestamp json.RawMessage `json:"timestamp"`
	}
	if err := json.Unmarshal(frame, &in); err != nil {
		return Text{}, fmt.Errorf("parse text message: %w", err)
	}
	t := Text{Name: plain(in.Type), Data: in.Data, Timestamp: plain(in.Timestamp)}
	known, ok := textTypes[t.Name]
	if !ok {
		known = TextOther
	}
	t.Type = known
	return t, nil
}

// plain is the string that raw holds, "" for any other value.
func plain(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// Message is Data for a person: the string when it is one, JSON otherwise.
func (t Text) Message() string {
	if s := plain(t.Data); s != "" {
		return s
	}
	return string(t.Data)
}

// Order is the identity and the state of an order update; both "" when Data
// is no order.
func (t Text) Order() (id, status string) {
	var order struct {
		ID     string `json:"order_id"`
		Status string `json:"status"`
	}
	if t.Type != TextOrder || json.Unmarshal(t.Data, &order) != nil {
		return "", ""
	}
	return order.ID, order.Status
}

// AppendText writes t as the server would: Name when it is set, else Type.
// Data must be valid JSON or nil.
func AppendText(dst []byte, t Text) []byte {
	name := t.Name
	if name == "" {
		name = string(t.Type)
	}
	out := bytes.NewBuffer(dst)
	quoted := func(s string) {
		b, _ := json.Marshal(s)
		out.Write(b)
	}
	out.WriteString(`{"type":`)
	quoted(name)
	if t.Data != nil {
		out.WriteString(`,"data":`)
		out.Write(t.Data)
	}
	if t.Timestamp != "" {
		out.WriteString(`,"timestamp":`)
		quoted(t.Timestamp)
	}
	out.WriteByte('}')
	return out.Bytes()
}
