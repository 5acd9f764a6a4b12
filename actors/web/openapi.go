package web

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

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
	answer(w, http.StatusOK, map[string]any{
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
	names := make([]string, 0, len(r.query))
	for name := range r.query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
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
