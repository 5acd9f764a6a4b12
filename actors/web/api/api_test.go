package api

import (
	"reflect"
	"testing"

	"kitestring/messages"
)

func TestDecodeForgetsEarlierAnswers(t *testing.T) {
	var all []messages.Reading
	for _, c := range []struct {
		answer string
		want   []messages.Reading
	}{
		{`[{"kind":"pcr","parameters":{"least_coverage":0.3}},{"kind":"direct"}]`, []messages.Reading{
			{Kind: "pcr", Parameters: map[string]float64{"least_coverage": 0.3}}, {Kind: "direct"},
		}},
		{`[{"kind":"direct"},{"kind":"trend_base","parameters":{"swing_order":5}}]`, []messages.Reading{
			{Kind: "direct"}, {Kind: "trend_base", Parameters: map[string]float64{"swing_order": 5}},
		}},
		{`[]`, []messages.Reading{}},
	} {
		if err := Decode([]byte(c.answer), &all); err != nil || !reflect.DeepEqual(all, c.want) {
			t.Errorf("%s: %+v, %v", c.answer, all, err)
		}
	}
	for _, into := range []any{nil, all, (*Status)(nil)} {
		if Decode([]byte(`[]`), into) == nil {
			t.Errorf("decoded into %T", into)
		}
	}
}
