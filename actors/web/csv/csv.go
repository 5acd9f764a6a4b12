// Package csv writes lists of the API as CSV: a line of names, then a line an
// entry. The columns are those of the JSON, by the same names and in the same
// order; an object within an entry gives a column a field, as "mailbox.depth".
//
// What is null in JSON is empty here. Times are RFC 3339. Lists within an
// entry have no column.
package csv

import (
	"encoding"
	"encoding/csv"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// Write writes a list of structs.
func Write[T any](w io.Writer, list []T) error {
	columns := columnsOf(reflect.TypeFor[T](), "", nil)
	out := csv.NewWriter(w)
	line := make([]string, len(columns))
	for i, c := range columns {
		line[i] = c.name
	}
	_ = out.Write(line) // Error says it
	for i := range list {
		v := reflect.ValueOf(&list[i]).Elem()
		for j, c := range columns {
			line[j] = text(v.FieldByIndex(c.index))
		}
		_ = out.Write(line)
	}
	out.Flush()
	return out.Error()
}

type column struct {
	name  string
	index []int
}

var (
	timeType = reflect.TypeFor[time.Time]()
	textType = reflect.TypeFor[encoding.TextMarshaler]()
)

func columnsOf(t reflect.Type, prefix string, index []int) (columns []column) {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || name == "" {
			continue
		}
		at := append(append([]int{}, index...), f.Index...)
		switch f.Type.Kind() {
		case reflect.Struct:
			if f.Type != timeType && !f.Type.Implements(textType) {
				columns = append(columns, columnsOf(f.Type, prefix+name+".", at)...)
				continue
			}
		case reflect.Slice, reflect.Map:
			continue
		}
		columns = append(columns, column{prefix + name, at})
	}
	return columns
}

func text(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch value := v.Interface().(type) {
	case time.Time:
		return value.UTC().Format(time.RFC3339Nano)
	case encoding.TextMarshaler:
		data, _ := value.MarshalText()
		return string(data)
	case float64:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.6f", value), "0"), ".")
	}
	return fmt.Sprint(v.Interface())
}
