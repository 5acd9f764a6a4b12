package api

import (
	"encoding/json"
	"reflect"
)

// Decode reads an answer into what the pointer points at, which forgets what
// it held before. encoding/json alone would merge: whoever asks again with the
// same variable then sees an earlier answer's parameters or reason wherever
// the new one leaves the field out.
func Decode(answer []byte, into any) error {
	if v := reflect.ValueOf(into); v.Kind() == reflect.Pointer && !v.IsNil() {
		v.Elem().SetZero()
	}
	return json.Unmarshal(answer, into)
}
