package web

import (
	"net/http"
	"regexp"
	"strings"
)

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// openapi describes the routes, from the table that serves them.
func (s *server) openapi(w http.ResponseWriter, _ *http.Request) {
	paths := map[string]map[string]any{}
	for _, r := range s.table() {
		op := map[string]any{
			"summary": r.summary,
			"responses": map[string]any{
				"default": map[string]any{"description": "success, or problem+json (RFC 9457) for a status of 400 and above"},
			},
		}
		var params []any
		for _, m := range pathParameter.FindAllStringSubmatch(r.path, -1) {
			params = append(params, map[string]any{"name": m[1], "in": "path", "required": true, "schema": map[string]string{"type": "string"}})
		}
		if params != nil {
			op["parameters"] = params
		}
		if r.admin {
			op["security"] = []any{map[string]any{"admin": []string{}}}
		}
		if paths[r.path] == nil {
			paths[r.path] = map[string]any{}
		}
		paths[r.path][strings.ToLower(r.method)] = op
	}
	answer(w, http.StatusOK, map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]string{"title": "kitestring", "version": s.Process.Version},
		"paths":   paths,
		"components": map[string]any{"securitySchemes": map[string]any{
			"admin": map[string]string{"type": "http", "scheme": "bearer"},
		}},
	})
}
