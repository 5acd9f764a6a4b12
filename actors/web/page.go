package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// The dashboard as "make ui" builds it from ui/; a test compares dist with its
// sources.
//
//go:embed dist
var dist embed.FS

// file is one file of the dashboard, ready to be sent.
type file struct {
	tag          string
	data, zipped []byte // zipped nil: not smaller
}

// files are read and compressed once per process.
var files = sync.OnceValue(func() map[string]file {
	found := map[string]file{}
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // embedded: cannot fail in a program that was built
	}
	for _, e := range entries {
		data, err := dist.ReadFile(path.Join("dist", e.Name()))
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(data)
		f := file{tag: hex.EncodeToString(sum[:8]), data: data}
		var zipped bytes.Buffer
		z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		_, _ = z.Write(data) // into memory
		_ = z.Close()
		if zipped.Len() < len(data) {
			f.zipped = zipped.Bytes()
		}
		found[e.Name()] = f
	}
	return found
})

// contentTypes are those that differ from one system's table to the next.
var contentTypes = map[string]string{".js": "text/javascript; charset=utf-8", ".txt": "text/plain; charset=utf-8"}

// Licences are the licences of what the dashboard's script is made of. Empty
// when the dashboard was built without them.
func Licences() string { return string(files()["licenses.txt"].data) }

func page(w http.ResponseWriter, r *http.Request) { serveFile(w, r, "index.html") }

func asset(w http.ResponseWriter, r *http.Request) { serveFile(w, r, r.PathValue("file")) }

// serveFile sends a file. A browser asks each time whether it has changed: a
// newer binary must never meet an older script.
func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, ok := files()[name]
	if !ok {
		writeProblem(w, http.StatusNotFound, "no such file", "There is no asset "+quoted(name)+".", nil)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	if kind := contentTypes[path.Ext(name)]; kind != "" {
		h.Set("Content-Type", kind)
	}
	data, tag := f.data, `"`+f.tag+`"`
	if f.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		data, tag = f.zipped, `"`+f.tag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data)) // answers If-None-Match
}

// runbook is GET /runbook, and with an alert's name its section: where the
// alerts' runbook_url leads.
func (s *server) runbook(w http.ResponseWriter, r *http.Request) {
	text, name := s.Runbook, r.PathValue("alert")
	if name != "" {
		var names []string
		text = ""
		for _, section := range strings.Split(s.Runbook, "\n## ")[1:] {
			title, _, _ := strings.Cut(section, "\n")
			names = append(names, title)
			if title == name {
				text = "## " + section
			}
		}
		if text == "" {
			writeError(w, &NameError{What: "section of the runbook", Name: name, Known: names})
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // the client has gone
}
