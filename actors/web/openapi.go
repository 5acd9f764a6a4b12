package web

import (
	"cmp"
	"encoding"
	"maps"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/web/api"
)

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// openapi describes the routes, from the table that serves them and the types
// that they encode.
func (s *server) openapi(w http.ResponseWriter, _ *http.Request) {
	schemas := schemas{}
	paths := map[string]map[string]any{}
	for _, r := range s.table() {
		if paths[r.path] == nil {
			paths[r.path] = map[string]any{}
		}
		paths[r.path][strings.ToLower(r.method)] = r.describe(schemas)
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]string{"title": "kitestring", "version": s.Process.Version},
		"paths":   paths,
		"components": map[string]any{
			"schemas": schemas,
			"securitySchemes": map[string]any{
				"admin":   map[string]string{"type": "http", "scheme": "bearer"},
				"session": map[string]string{"type": "apiKey", "in": "cookie", "name": sessionCookie},
			},
		},
	})
}

func (r route) describe(known schemas) map[string]any {
	success := map[string]any{"description": "success"}
	switch {
	case r.gives != nil:
		success["content"] = content("application/json", known.of(r.gives))
	case r.media != "":
		success["content"] = content(r.media, map[string]any{"type": "string"})
	}
	responses := map[string]any{
		strconv.Itoa(cmp.Or(r.code, http.StatusOK)): success,
		"default": map[string]any{
			"description": "what went wrong and what would have been allowed (RFC 9457)",
			"content":     content("application/problem+json", known.of(api.Problem{})),
		},
	}
	if r.path == "/readyz" {
		responses["503"] = success
	}
	op := map[string]any{"summary": r.summary, "responses": responses}
	if r.takes != nil {
		op["requestBody"] = map[string]any{"required": true, "content": content("application/json", known.of(r.takes))}
	}
	if params := r.parameters(); params != nil {
		op["parameters"] = params
	}
	if r.admin {
		op["security"] = []any{map[string]any{"admin": []string{}}, map[string]any{"session": []string{}}}
	}
	return op
}

func (r route) parameters() []any {
	var params []any
	for _, m := range pathParameter.FindAllStringSubmatch(r.path, -1) {
		params = append(params, map[string]any{"name": m[1], "in": "path", "required": true, "schema": map[string]string{"type": "string"}})
	}
	for _, name := range slices.Sorted(maps.Keys(r.query)) {
		schema := map[string]any{"type": "string"}
		if r.query[name] != nil {
			schema["enum"] = r.query[name]
		}
		params = append(params, map[string]any{"name": name, "in": "query", "schema": schema})
	}
	return params
}

func content(media string, schema any) map[string]any {
	return map[string]any{media: map[string]any{"schema": schema}}
}

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
	}
	if t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 {
		return map[string]any{"type": "integer"}
	}
	return map[string]any{}
}

// ofStruct keeps a struct's schema under its name and refers to it.
func (s schemas) ofStruct(t reflect.Type) map[string]any {
	name := t.Name()
	if from := path.Base(t.PkgPath()); from != "api" {
		name = from + "." + name // messages.Reading is not a type of the API alone
	}
	ref := map[string]any{"$ref": "#/components/schemas/" + name}
	if _, known := s[name]; known {
		return ref
	}
	properties, required := map[string]any{}, []string{}
	s[name] = map[string]any{} // reserved, in case the type contains itself
	for _, f := range reflect.VisibleFields(t) {
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "-" || !f.IsExported() || f.Anonymous {
			continue
		}
		key = cmp.Or(key, f.Name)
		properties[key] = s.ofType(f.Type)
		if !strings.Contains(options, "omitempty") {
			required = append(required, key)
		}
	}
	s[name] = map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	return ref
}
