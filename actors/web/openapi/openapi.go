// Package openapi describes an HTTP API, from the table that serves it and the
// types that it encodes: the description cannot drift from the program.
package openapi

import (
	"cmp"
	"encoding"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/web/api"
)

// Operation is one route.
type Operation struct {
	Method, Path string
	Summary      string
	Admin        bool
	Code         int                 // of a success; 0: 200
	Takes        any                 // a value of the body's type; nil: no body
	Gives        any                 // a value of a success' type; nil: no JSON
	CSV          bool                // what it gives is also to be had as CSV
	Media        string              // of a success that is no JSON
	Query        map[string][]string // parameters, with what they may be; nil: anything
	Events       map[string]any      // of an event stream: a value of the type of each topic's data
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// Document is the description of an API.
func Document(version, sessionCookie string, operations []Operation) map[string]any {
	schemas := schemas{}
	paths := map[string]map[string]any{}
	for _, o := range operations {
		if paths[o.Path] == nil {
			paths[o.Path] = map[string]any{}
		}
		paths[o.Path][strings.ToLower(o.Method)] = o.describe(schemas)
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info": map[string]string{
			"title": "kitestring", "version": version,
			"description": "Market data and analyses on Zerodha's Kite Connect that survive the daily access token. " +
				"Names are lower_snake_case, times RFC 3339 in UTC, ages and spans seconds, latencies milliseconds where a name ends in _ms, prices rupees. " +
				"null means: did not happen, or is not known. Fields are added, never renamed.",
		},
		"servers":  []any{map[string]string{"url": "/", "description": "the server that gave this description"}},
		"security": []any{}, // reading is open; what changes something says otherwise
		"paths":    paths,
		"components": map[string]any{
			"schemas": schemas,
			"securitySchemes": map[string]any{
				"admin":   map[string]string{"type": "http", "scheme": "bearer", "description": "ADMIN_TOKEN of the .env file"},
				"session": map[string]string{"type": "apiKey", "in": "cookie", "name": sessionCookie, "description": "of a browser, from POST /api/v1/session"},
			},
		},
	}
}

func (o Operation) describe(known schemas) map[string]any {
	success := map[string]any{"description": "success"}
	switch {
	case o.Gives != nil:
		success["content"] = content("application/json", known.of(o.Gives))
		if o.CSV {
			success["content"].(map[string]any)["text/csv"] = map[string]any{"schema": map[string]any{"type": "string"}}
		}
	case o.Events != nil:
		success["content"] = content(o.Media, known.ofEvents(o.Events))
		success["description"] = "server-sent events: a line \"event: TOPIC\", a line \"data: JSON\" and an empty line each; lines that begin with a colon keep the connection alive"
	case o.Media != "":
		success["content"] = content(o.Media, map[string]any{"type": "string"})
	}
	refusal := func(what string) map[string]any {
		return map[string]any{"description": what, "content": content("application/problem+json", known.of(api.Problem{}))}
	}
	responses := map[string]any{
		strconv.Itoa(cmp.Or(o.Code, http.StatusOK)): success,
		"4XX":     refusal("the request cannot be followed: what is wrong with it and what would have been allowed (RFC 9457)"),
		"default": refusal("what went wrong (RFC 9457)"),
	}
	if o.Path == "/readyz" {
		responses["503"] = success
	}
	op := map[string]any{"operationId": o.id(), "summary": o.Summary, "responses": responses, "tags": []string{o.tag()}}
	if o.Takes != nil {
		op["requestBody"] = map[string]any{"required": true, "content": content("application/json", known.of(o.Takes))}
	}
	if params := o.parameters(); params != nil {
		op["parameters"] = params
	}
	if o.Admin {
		op["security"] = []any{map[string]any{"admin": []string{}}, map[string]any{"session": []string{}}}
	}
	return op
}

// id names an operation, as a generated client calls its method: get_ticks,
// get_actors_by_name, post_actors_by_name_restart.
func (o Operation) id() string {
	parts := []string{strings.ToLower(o.Method)}
	for _, part := range strings.Split(strings.TrimPrefix(o.Path, "/api/v1"), "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			part = "by_" + strings.TrimSuffix(name, "}")
		}
		if part != "" {
			parts = append(parts, strings.ReplaceAll(part, ".", "_"))
		}
	}
	return strings.Join(parts, "_")
}

// tag is what an operation is about.
func (o Operation) tag() string {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(o.Path, "/api/v1"), "/"), "/")
	return parts[0]
}

// ofEvents describes what each topic carries.
func (s schemas) ofEvents(events map[string]any) map[string]any {
	var all []any
	for _, topic := range slices.Sorted(maps.Keys(events)) {
		data := s.of(events[topic])
		if several, ok := events[topic].(OneOf); ok {
			var of []any
			for _, value := range several {
				of = append(of, s.of(value))
			}
			data = map[string]any{"anyOf": of}
		}
		all = append(all, map[string]any{
			"type": "object", "required": []string{"event", "data"}, "additionalProperties": false,
			"properties": map[string]any{"event": map[string]any{"type": "string", "enum": []string{topic}, "description": "the topic"}, "data": data},
		})
	}
	return map[string]any{"oneOf": all}
}

// OneOf are values of the types that a topic's data may have.
type OneOf []any

func (o Operation) parameters() []any {
	var params []any
	for _, m := range pathParameter.FindAllStringSubmatch(o.Path, -1) {
		params = append(params, map[string]any{"name": m[1], "in": "path", "required": true, "description": describeParameter(m[1]), "schema": map[string]string{"type": "string"}})
	}
	for _, name := range slices.Sorted(maps.Keys(o.Query)) {
		schema := map[string]any{"type": "string"}
		if o.Query[name] != nil {
			schema["enum"] = o.Query[name]
		}
		params = append(params, map[string]any{"name": name, "in": "query", "description": describeParameter(name), "schema": schema})
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
	name := strings.TrimPrefix(typeName(t), "api.") // messages.Reading is not a type of the API alone
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
		properties[key] = described(s.ofType(f.Type), describeField(ownerOf(t, f), f.Name, key))
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, key)
		}
	}
	s[name] = map[string]any{"type": "object", "description": describeType(typeName(t)), "properties": properties, "required": required, "additionalProperties": false}
	return ref
}
