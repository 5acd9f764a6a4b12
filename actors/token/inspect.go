package token

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Inspection is what one look at a file shows, for a person to read.
type Inspection struct {
	Exists     bool
	Mode       fs.FileMode
	Mounted    bool     // by itself: it can be overwritten but not replaced
	FileSystem string   // its kind, where the kernel does not report all changes; "": it does
	Line       int      // to blame for Refusal; 0: no single one
	Refusal    string   // why the file cannot be used, and what to do; "": it can
	Warnings   []string // what is odd but does no harm, of every kind
	Odd        []string // of these, about the text: lines that were skipped, keys that stand there twice, ...
	Shadowed   []string // keys to which the process environment gives another value than the file, which wins
	Unwritable error    // why it could not be replaced; nil: it could
}

// Inspect looks at a file as the watcher would, and tries whether it could be
// replaced (by a temporary file beside it, which it removes). The file itself
// is not touched. getenv is the process environment; nil: empty.
func Inspect(path string, getenv func(string) string) Inspection {
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	r, _ := readOnce(path, lease)
	env, f := judge(path, &r, getenv, false)
	i := Inspection{
		Exists: r.err == nil, Mode: r.mode, Mounted: isMountPoint(path), FileSystem: silentFileSystem(filepath.Dir(path)), Warnings: f.warnings,
	}
	if f.refusal != nil {
		i.Line, i.Refusal = f.refusal.line, f.refusal.reason
	}
	i.Odd = contentWarnings(env, func(string) string { return "" })
	for _, key := range ourKeys {
		if value, held := env.Lookup(key); held && getenv(key) != "" && getenv(key) != value {
			i.Shadowed = append(i.Shadowed, key)
		}
	}
	target, err := resolve(path)
	if err == nil {
		var tmp string
		if tmp, err = writeTemp(target, nil, nil); err == nil {
			err = os.Remove(tmp)
		}
	}
	if err != nil {
		i.Unwritable = explain(path, err)
	}
	return i
}
