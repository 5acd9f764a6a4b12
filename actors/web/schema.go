package web

import (
	"encoding"
	"path"
	"reflect"
	"strings"
	"time"
)

// schemas are the JSON schemas of the API's types by name, made of the types
// themselves. Known here: structs with json tags, lists, maps with string
// keys, pointers (which may be null), times, what encodes itself as text, and
// plain values; anything else is described as anything.
type schemas map[string]any

var (
	timeType = reflect.TypeFor[time.Time]()
	textType = reflect.TypeFor[encoding.TextMarshaler]()
)

// of is the schema of a value's type.
func (s schemas) of(value any) map[string]any { return s.ofType(reflect.TypeOf(value)) }

func (s schemas) ofType(t reflect.Type) map[string]any {
	switch {
	case t == timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return map[string]any{"anyOf": []any{s.ofType(t.Elem()), map[string]any{"type": "null"}}}
	case t.Implements(textType):
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Struct:
		return s.ofStruct(t)
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": s.ofType(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.ofType(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	}
	return map[string]any{}
}

// ofStruct keeps a struct's schema under its name and refers to it.
func (s schemas) ofStruct(t reflect.Type) map[string]any {
	name := t.Name()
	if from := path.Base(t.PkgPath()); from != "api" {
		name = from + "." + name // messages.Gap is not api.Gap
	}
	ref := map[string]any{"$ref": "#/components/schemas/" + name}
	if _, known := s[name]; known {
		return ref
	}
	properties, required := map[string]any{}, []string{}
	s[name] = map[string]any{} // holds the place, should the type hold itself
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "-" || !f.IsExported() {
			continue
		}
		if key == "" {
			key = f.Name
		}
		properties[key] = s.ofType(f.Type)
		if !strings.Contains(options, "omitempty") {
			required = append(required, key)
		}
	}
	s[name] = map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	return ref
}
