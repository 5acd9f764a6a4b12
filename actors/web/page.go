package web

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// The page's sources are served as they are.
//
//go:embed page
var pageFiles embed.FS

func asset(w http.ResponseWriter, r *http.Request) { serve(w, r, r.PathValue("file")) }

func page(file string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { serve(w, r, file) }
}

func serve(w http.ResponseWriter, r *http.Request, file string) {
	data, err := fs.ReadFile(pageFiles, path.Join("page", path.Base(file)))
	if err != nil {
		problem(w, http.StatusNotFound, "no such file", "There is no asset "+quoted(file)+".", nil)
		return
	}
	w.Header().Set("Cache-Control", "no-cache") // a newer binary must never meet an older script
	http.ServeContent(w, r, file, time.Time{}, bytes.NewReader(data))
}
