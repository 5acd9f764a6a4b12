package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"kitestring/actors/actorstest"
)

// retired are words that this project does not use, with what it uses instead:
// metaphors, and jargon that a newcomer must read a second time. They are looked
// for as words of identifiers (farClock is far, clock), of comments and of texts
// with blanks in Go, and of identifiers and comments in the dashboard's sources.
var retired = map[string]string{
	"house": "server, supervisor", "plant": "startTree", "pardon": "endQuarantine", "anew": "again, or nothing", "haunt": "",
	"knock": "", "doorway": "sharedListener", "rehearsal": "drill, simulatorControl", "deaf": "drop_token_messages",
	"told": "received, sent, announced", "spoilt": "broken, checkLine", "looker": "poller", "sighting": "observation",
	"analyst": "analysisActor", "analysts": "analysisActor", "desk": "perUnderlying", "whoever": "whatever; it",
	"twice": "repeated, two times", "hear": "receive", "hears": "receives", "heard": "received",
}

// retiredNames are retired as words of identifiers only, retiredPhrases as a
// sequence of words anywhere.
var (
	retiredNames   = map[string]string{"chosen": "reloaded, configured", "choices": "Reloadable"}
	retiredPhrases = map[string]string{"of ours": "", "far clock": "remoteClock", "tell story": "logTransitions", "in words": "toWebError", "told of": "reminderStatus"}
)

// kept are names that others rely on: drills and fault kinds by name.
var kept = regexp.MustCompile(`rotate-twice|(?:drill|drills) deaf|"deaf"|deaf-auth`)

func TestRetiredWordsAreGone(t *testing.T) {
	root := actorstest.ModuleRoot(t)
	files, words := 0, 0
	seen := map[string]bool{}
	look := func(where, text string, name bool) {
		if key := fmt.Sprint(name, text); seen[key] {
			return // names recur
		} else {
			seen[key] = true
		}
		list := splitWords(kept.ReplaceAllString(text, " "))
		words += len(list)
		for i, word := range list {
			instead, found := retired[word]
			if !found && name {
				instead, found = retiredNames[word]
			}
			if !found && i > 0 {
				word = list[i-1] + " " + word
				if instead, found = retiredPhrases[word]; found && !name && word == "in words" {
					found = false // plain English in a comment
				}
			}
			if found {
				t.Errorf("%s: %q in %q is retired; use: %s", where, word, strings.TrimSpace(text), instead)
			}
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "node_modules" || name == "dist" || name == "bin" || strings.HasPrefix(name, ".") && path != root) {
			return filepath.SkipDir
		}
		relative, _ := filepath.Rel(root, path)
		switch ext := filepath.Ext(name); {
		case relative == "cmd/kitestring/words_test.go": // this list
		case ext == ".go":
			files++
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			at := func(p token.Pos) string { return relative + ":" + position(set, p) }
			for _, group := range tree.Comments {
				for _, c := range group.List {
					look(at(c.Pos()), c.Text, false)
				}
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					look(at(n.Pos()), n.Name, true)
				case *ast.BasicLit: // what a person reads, in a log or on a page
					if n.Kind == token.STRING && strings.Contains(n.Value, " ") {
						look(at(n.Pos()), n.Value, false)
					}
				}
				return true
			})
		case ext == ".ts" || ext == ".tsx":
			files++
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			comments := scriptComments.FindAllString(string(text), -1)
			for _, c := range comments {
				look(relative, c, false)
			}
			for _, id := range scriptNames.FindAllString(scriptTexts.ReplaceAllString(scriptComments.ReplaceAllString(string(text), " "), " "), -1) {
				look(relative, id, true)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 200 {
		t.Errorf("%d files read only", files)
	}
	t.Logf("%d words in %d files", words, files)
}

var (
	scriptComments = regexp.MustCompile(`(?s:/\*.*?\*/)|(?m:(?:^|\s)//.*$)`)
	scriptTexts    = regexp.MustCompile("\"[^\"\n]*\"|'[^'\n]*'|`[^`]*`|>[^<>{}=;()]*<")
	scriptNames    = regexp.MustCompile(`[A-Za-z_$][\w$]*`)
)

func position(set *token.FileSet, p token.Pos) string {
	_, line, _ := strings.Cut(set.Position(p).String(), ":")
	return line
}

// splitWords gives the words of a text or of a name in lower case: farClock and
// far_clock are far, clock.
func splitWords(text string) (words []string) {
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
		}
		word = word[:0]
	}
	letters := []rune(text)
	for i, r := range letters {
		lowerNext := i+1 < len(letters) && unicode.IsLower(letters[i+1])
		switch {
		case !unicode.IsLetter(r):
			end()
		case unicode.IsUpper(r) && len(word) > 0 && (unicode.IsLower(word[len(word)-1]) || lowerNext):
			end()
			fallthrough
		default:
			word = append(word, r)
		}
	}
	end()
	return words
}

func TestWordsOfNames(t *testing.T) {
	for text, want := range map[string]string{
		"farClock": "far clock", "toldOf": "told of", "HTTPServer": "http server", "ANewWatch": "a new watch", "rotate_twice": "rotate twice", "// A house, then.": "a house then", "TestTheHouseIsQuiet": "test the house is quiet",
	} {
		if got := strings.Join(splitWords(text), " "); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
