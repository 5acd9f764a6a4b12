package peers

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// FuzzFrame: whatever comes from the other side is a frame within its bounds or
// an error.
func FuzzFrame(f *testing.F) {
	for _, text := range []string{
		`{"hello":{"protocol":1,"version":"v1","name":"a","token":{"fingerprint":"0123abcd","valid":true,"api_key":"0123abcd","age_ms":-5}}}`,
		`{"join":{"protocol":1,"age":"age1"}}`, `{"sealed":{"fingerprint":"0123abcd","box":"AAAA"}}`, `{"result":{"ok":true}}`, `{"refusal":"no"}`, `{`, `null`, `[]`,
	} {
		f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readFrame(bytes.NewReader(data))
		if err != nil || got.Hello == nil {
			return
		}
		if got.Hello.check() != nil {
			return
		}
		h := got.Hello
		if h.Protocol != protocol || h.Token.AgeMS < 0 || len(h.Name) > mostName || len(h.Version) > mostName || len(h.Token.Refused) > mostRefused {
			t.Errorf("admitted: %+v", h)
		}
	})
}

// FuzzCode: whatever a person pastes is a code that is written the same way, or
// an error.
func FuzzCode(f *testing.F) {
	f.Add(code{addr: "10.0.0.5:8440"}.String())
	f.Add("ksp1-AAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, pasted string) {
		c, err := parseCode(pasted)
		if err != nil {
			return
		}
		if again, err := parseCode(c.String()); err != nil || again != c {
			t.Errorf("%q is read as %+v, and that as %+v, %v", pasted, c, again, err)
		}
	})
}

// TestBothSidesAgree: of any two tokens, one side sends exactly when the other
// receives; what Kite refused is not sent to where it was refused.
func TestBothSidesAgree(t *testing.T) {
	token := func(t *rapid.T, name string) Token {
		prints := []string{"", "00000001", "00000002"}
		tok := Token{
			Fingerprint: rapid.SampledFrom(prints).Draw(t, name+" fingerprint"), Pending: rapid.Bool().Draw(t, name+" pending"),
			AgeMS: int64(rapid.IntRange(0, 2).Draw(t, name+" age")), APIKey: rapid.SampledFrom([]string{"k", "k", "l"}).Draw(t, name+" key"),
			Account: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, name+" account"),
			Refused: rapid.SampledFrom([][]string{nil, prints[1:2], prints[2:]}).Draw(t, name+" refused"),
		}
		tok.Valid = tok.Fingerprint != "" && rapid.Bool().Draw(t, name+" valid")
		return tok
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := token(t, "a"), token(t, "b")
		left, _ := compare(a, b)
		right, _ := compare(b, a)
		mirror := map[verdict]verdict{same: same, nothing: nothing, send: receive, receive: send, wait: wait, apart: apart}
		switch {
		case left == doubt && right == wait, left == wait && right == doubt:
		case mirror[left] != right || left == doubt:
			t.Fatalf("%v and %v of %+v, %+v", left, right, a, b)
		case left == send && (!a.Valid || b.Valid && a.AgeMS > b.AgeMS || b.Pending):
			t.Fatalf("%+v is sent to %+v", a, b)
		}
	})
}
