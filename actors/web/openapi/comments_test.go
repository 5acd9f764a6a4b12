package openapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
)

var update = flag.Bool("update", false, "write comments.json again, from the sources")

// TestCommentsAreThoseOfTheSources: go test ./actors/web/openapi -update
func TestCommentsAreThoseOfTheSources(t *testing.T) {
	found := map[string]string{}
	for _, folder := range []string{"actors/web/api", "actors/web/history", "actors/kinds", "messages"} {
		files, err := filepath.Glob(filepath.Join(actorstest.ModuleRoot(t), folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(folder, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				collect(t, filepath.Base(folder), file, found)
			}
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(found); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("comments.json", out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(out.Bytes(), commentsFile) {
		t.Error("comments.json is not what the sources say: go test ./actors/web/openapi -update")
	}
}

// collect notes the comments of a file's structs and of their fields that JSON
// has.
func collect(t *testing.T, pkg, file string, into map[string]string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range parsed.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok || d.Tok != token.TYPE {
			continue
		}
		for _, spec := range d.Specs {
			s := spec.(*ast.TypeSpec)
			fields, ok := s.Type.(*ast.StructType)
			if !ok || !s.Name.IsExported() {
				continue
			}
			doc := s.Doc
			if doc == nil {
				doc = d.Doc
			}
			encoded := false
			for _, f := range fields.Fields.List {
				if f.Tag == nil || !strings.Contains(f.Tag.Value, "json:") {
					continue
				}
				encoded = true
				text := oneLine(f.Doc)
				if text == "" {
					text = oneLine(f.Comment)
				}
				for _, name := range f.Names {
					if text != "" {
						into[pkg+"."+s.Name.Name+"."+name.Name] = text
					}
				}
			}
			if encoded {
				into[pkg+"."+s.Name.Name] = oneLine(doc)
			}
		}
	}
}

func oneLine(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	return strings.Join(strings.Fields(c.Text()), " ")
}
