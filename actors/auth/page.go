package auth

import (
	"html/template"
	"net/http"
)

var page = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} - kitestring</title>
<main>
<h1>{{.Title}}</h1>
<p>{{.Reason}}</p>
<p><a href="/login">Log in again</a> or <a href="/">go to the first page</a>.</p>
</main>
</html>
`))

// writePage shows a person what happened. It loads nothing and leaks nothing:
// its address may hold a request token.
func writePage(w http.ResponseWriter, status int, title, reason string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_ = page.Execute(w, struct{ Title, Reason string }{title, reason}) // the browser has gone: nobody to tell
}

// get lets GET through, and nothing be kept or told on: HEAD and prefetches by
// other methods must not use a login up.
func get(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return false
	}
	return true
}
