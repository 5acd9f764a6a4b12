// Package envstyles changes the token in a .env file in every way in which
// editors, shells, libraries and orchestrators are known to do it. The tests
// and benchmarks of package token and the fault drills share it, so that both
// mean the same by "sed -i".
//
// Its limits: it knows one line, ZERODHA_ACCESS_TOKEN=value, which must stand
// in the file that it is given; network file systems and overlays need mounts
// and are not here. It imports the standard library only.
package envstyles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Style is one way to change the token.
type Style struct {
	Name string
	// Polled: the kernel reports nothing of it, so that only a poll sees it.
	Polled bool
	// Prepare lays the file out in an empty directory and returns the path to
	// watch. The file itself may be missing there when the style is about that.
	Prepare func(dir, content string) (path string, err error)
	// Apply changes the token at a path that Prepare returned. completed is the
	// moment just before the step that made the new value whole (a close, a
	// rename): detection is counted from it.
	Apply func(path, token string) (completed time.Time, err error)
}

// All lists the styles.
func All() []Style {
	return []Style{
		{Name: "echo", Prepare: plain, Apply: apply(echo)},
		{Name: "pwrite", Prepare: plain, Apply: apply(pwrite)},
		{Name: "five-parts", Prepare: plain, Apply: apply(fiveParts)},
		{Name: "two-halves", Prepare: plain, Apply: apply(twoHalves)},
		{Name: "two-opens", Prepare: plain, Apply: apply(twoOpens)},
		{Name: "append", Prepare: plain, Apply: apply(appendLine)},
		{Name: "vim-backup", Prepare: plain, Apply: apply(vimBackup)},
		{Name: "sed-i", Prepare: plain, Apply: apply(sedInPlace)},
		{Name: "rename", Prepare: plain, Apply: apply(renameOver)},
		{Name: "k8s-data-swap", Prepare: k8s, Apply: apply(k8sSwap)},
		{Name: "symlink-target-in-place", Prepare: linked, Apply: apply(echo)},
		{Name: "symlink-target-renamed", Prepare: linked, Apply: apply(targetRenamed)},
		{Name: "symlink-repointed", Prepare: linked, Apply: apply(repointed)},
		{Name: "hard-link", Prepare: hardLinked, Apply: apply(otherName)},
		{Name: "rm-create", Prepare: plain, Apply: apply(removeCreate)},
		{Name: "unreadable-restored", Prepare: plain, Apply: apply(unreadable)},
		{Name: "dir-swapped", Prepare: inDir, Apply: apply(dirSwapped)},
		{Name: "dir-removed-made", Prepare: inDir, Apply: apply(dirMade)},
		{Name: "dir-missing-at-start", Prepare: dirMissing, Apply: apply(dirMade)},
		{Name: "mmap", Polled: true, Prepare: plain, Apply: apply(mmap)},
	}
}

const (
	name  = ".env"
	key   = "ZERODHA_ACCESS_TOKEN="
	mode  = 0o600
	other = "elsewhere" // a directory next to the watched one
)

func plain(dir, content string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(content), mode)
}

// inDir puts the file one directory deeper, so that the directory can go.
func inDir(dir, content string) (string, error) {
	conf := filepath.Join(dir, "conf")
	if err := os.Mkdir(conf, 0o700); err != nil {
		return "", err
	}
	return plain(conf, content)
}

// dirMissing keeps the content beside a directory that does not exist yet.
func dirMissing(dir, content string) (string, error) {
	path := filepath.Join(dir, "conf", name)
	return path, os.WriteFile(seed(path), []byte(content), mode)
}

func seed(path string) string { return filepath.Join(filepath.Dir(filepath.Dir(path)), "seed") }

func linked(dir, content string) (string, error) {
	target := filepath.Join(dir, other)
	if err := os.Mkdir(target, 0o700); err != nil {
		return "", err
	}
	if _, err := plain(target, content); err != nil {
		return "", err
	}
	conf := filepath.Join(dir, "conf")
	if err := os.Mkdir(conf, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(conf, name)
	return path, os.Symlink(filepath.Join("..", other, name), path)
}

func hardLinked(dir, content string) (string, error) {
	path, err := inDir(dir, content)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(filepath.Join(dir, other), 0o700); err != nil {
		return "", err
	}
	return path, os.Link(path, filepath.Join(dir, other, name))
}

// k8s lays out a volume as the kubelet does: .env -> ..data/.env, ..data -> ..v1.
func k8s(dir, content string) (string, error) {
	version := filepath.Join(dir, "..v1")
	if err := os.Mkdir(version, 0o700); err != nil {
		return "", err
	}
	if _, err := plain(version, content); err != nil {
		return "", err
	}
	if err := os.Symlink("..v1", filepath.Join(dir, "..data")); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.Symlink(filepath.Join("..data", name), path)
}

// edited is the file's text with another token.
func edited(path, token string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile(seed(path))
	}
	if err != nil {
		return "", err
	}
	before, rest, ok := strings.Cut(string(text), key)
	if !ok {
		return "", fmt.Errorf("%s holds no line %s", path, key)
	}
	_, after, _ := strings.Cut(rest, "\n")
	return before + key + token + "\n" + after, nil
}

// middle is where to cut a text so that the token is cut in two.
func middle(text string) int {
	at := strings.Index(text, key) + len(key)
	return at + strings.IndexByte(text[at:], '\n')/2
}
