package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

// The dashboard as "make ui" builds it from ui/; a test holds dist against its
// sources.
//
//go:embed dist
var dist embed.FS

// file is one file of the dashboard, ready to be sent.
type file struct {
	kind, tag    string
	data, zipped []byte // zipped nil: not smaller
}

// files are read and zipped once a process.
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
		f := file{kind: mime.TypeByExtension(path.Ext(e.Name())), tag: hex.EncodeToString(sum[:8]), data: data}
		if strings.HasSuffix(e.Name(), ".js") {
			f.kind = "text/javascript; charset=utf-8"
		}
		if strings.HasSuffix(e.Name(), ".txt") {
			f.kind = "text/plain; charset=utf-8"
		}
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

func page(w http.ResponseWriter, r *http.Request) { serveFile(w, r, "index.html") }

func asset(w http.ResponseWriter, r *http.Request) { serveFile(w, r, r.PathValue("file")) }

// serveFile sends a file. A browser asks each time whether it has changed: a newer
// binary must never meet an older script.
func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, ok := files()[name]
	if !ok {
		problem(w, http.StatusNotFound, "no such file", "There is no asset "+quoted(name)+".", nil)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	data, tag := f.data, `"`+f.tag+`"`
	if f.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		data, tag = f.zipped, `"`+f.tag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(data)
}
