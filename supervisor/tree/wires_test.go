package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
)

// said is one message from one actor (or group) to another.
type said struct{ from, to, message string }

func add(into map[said]bool, from, to string, messages ...string) {
	list := func(s string) []string { return strings.Split(strings.ReplaceAll(s, " and ", ", "), ", ") }
	for _, f := range list(from) {
		for _, t := range list(to) {
			for _, m := range messages {
				into[said{f, t, m}] = true
			}
		}
	}
}

func compare(t *testing.T, what string, got map[said]bool) {
	t.Helper()
	want := make(map[said]bool)
	for _, w := range wires {
		for _, m := range w.messages {
			add(want, w.from, w.to, reflect.TypeOf(m).Name())
		}
	}
	for s := range want {
		if !got[s] {
			t.Errorf("%s does not say that %s sends %s to %s, as wires.go does", what, s.from, s.message, s.to)
		}
	}
	for s := range got {
		if !want[s] {
			t.Errorf("%s says that %s sends %s to %s; wires.go does not", what, s.from, s.message, s.to)
		}
	}
}

func parse(t *testing.T) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(actorstest.ModuleRoot(t), "messages", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*ast.File)
	for _, name := range names {
		if files[filepath.Base(name)], err = parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestTheMapOfMessagesIsTheTreesOwn(t *testing.T) {
	got := make(map[said]bool)
	line := regexp.MustCompile(`(?m)^\t([a-z, ]+) -> ([a-z, ]+): ([A-Za-z, ]+): .+$`)
	for _, m := range line.FindAllStringSubmatch(parse(t)["doc.go"].Doc.Text(), -1) {
		add(got, m[1], m[2], strings.Split(m[3], ", ")...)
	}
	compare(t, "messages/doc.go", got)
}

func TestEachMessageNamesItsSenderAndReceiver(t *testing.T) {
	got := make(map[said]bool)
	sentence := regexp.MustCompile(`Sent by ([a-z, ]+); received by ([a-z, ]+?)(\.|, through)`)
	for _, file := range parse(t) {
		for _, decl := range file.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.TYPE || d.Doc == nil {
				continue
			}
			for _, m := range sentence.FindAllStringSubmatch(strings.ReplaceAll(d.Doc.Text(), "\n", " "), -1) {
				add(got, m[1], m[2], d.Specs[0].(*ast.TypeSpec).Name.Name)
			}
		}
	}
	compare(t, "the comment of a message", got)
}
