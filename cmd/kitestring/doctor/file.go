package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"kitestring/actors/token"
)

// lookAtFile checks the .env file and what is in it.
func (e *examination) lookAtFile(context.Context) {
	f, path := e.file, e.cfg.EnvFile
	if !f.Exists {
		if _, err := os.Lstat(path); os.IsNotExist(err) {
			e.note(EnvFile, Failed, "there is no "+path,
				fmt.Sprintf("create it with the lines %s=... and %s=..., or try the simulator: kitestring run", token.KeyAPIKey, token.KeyAPISecret))
		} else {
			detail, fix := sentence(f.Refusal)
			e.note(EnvFile, Failed, path+": "+detail, fix)
		}
		for _, name := range []string{Permissions, Parseable, Keys, Environment, Mount} {
			e.note(name, Skipped, "there is no file to look at", "")
		}
		return
	}
	detail := path
	if target, err := os.Readlink(path); err == nil {
		detail += " is a link to " + target
	}
	e.note(EnvFile, OK, detail, "")
	if mode := f.Mode.Perm(); mode&0o077 != 0 {
		e.note(Permissions, Warned, fmt.Sprintf("other users can read this file (mode %04o)", mode), "chmod 600 "+path)
	} else {
		e.note(Permissions, OK, fmt.Sprintf("mode %04o", mode), "")
	}
	switch {
	case f.Refusal != "" && f.Line > 0:
		detail, fix := sentence(f.Refusal)
		e.note(Parseable, Failed, detail, fix)
	case len(f.Odd) > 0:
		e.note(Parseable, Warned, strings.Join(f.Odd, "; "), "correct these lines, so that every program reads the same from the file")
	default:
		e.note(Parseable, OK, "every line is understood", "")
	}
	e.lookAtKeys()
	if len(f.Shadowed) > 0 {
		e.note(Environment, Warned, "the process environment has other values than the file for "+strings.Join(f.Shadowed, ", ")+"; kitestring takes the file's, other programs may not",
			"unset them where this shell, container or unit sets them (env_file:, environment:, EnvironmentFile=)")
	} else {
		e.note(Environment, OK, "nothing in the process environment contradicts the file", "")
	}
	if f.Mounted {
		e.note(Mount, Failed, "the file is mounted by itself: when it is replaced outside, nobody in here sees it", "mount its directory instead of the file")
	} else {
		e.note(Mount, OK, "the file is not a mount of its own", "")
	}
}

func (e *examination) lookAtKeys() {
	c := e.store.Credentials()
	const where = "=... from developers.kite.trade"
	switch {
	case c.APIKey == "" && c.APISecret.IsZero():
		e.note(Keys, Failed, fmt.Sprintf("%s and %s are missing or empty: without them there is only the simulator", token.KeyAPIKey, token.KeyAPISecret),
			"add the lines "+token.KeyAPIKey+"=... and "+token.KeyAPISecret+where)
	case c.APIKey == "":
		e.note(Keys, Failed, token.KeyAPIKey+" is missing or empty: without it there is only the simulator", "add the line "+token.KeyAPIKey+where)
	case c.APISecret.IsZero():
		e.note(Keys, Warned, token.KeyAPISecret+" is missing or empty; without it nobody can log in here, only another program can bring the token", "add the line "+token.KeyAPISecret+where)
	case e.file.Refusal != "" && e.file.Line == 0:
		detail, fix := sentence(e.file.Refusal)
		e.note(Keys, Failed, detail, fix)
	default:
		e.note(Keys, OK, token.KeyAPIKey+" and "+token.KeyAPISecret+" are there", "")
	}
}

// lookAtDirectory checks that the file can be replaced and that replacing it
// is seen.
func (e *examination) lookAtDirectory(ctx context.Context) {
	dir := filepath.Dir(e.cfg.EnvFile)
	if err := e.file.Unwritable; err != nil {
		e.note(Writable, Failed, fmt.Sprintf("%s cannot be written: %v", dir, cause(err)), "give the directory to this user, or keep the file elsewhere: --env-file")
		e.note(Rename, Skipped, "the directory cannot be written", "")
		e.note(Inotify, Skipped, "the directory cannot be written", "")
		return
	}
	e.note(Writable, OK, dir+" can be written", "")
	seen, err := probe(ctx, dir)
	if err != nil {
		e.note(Rename, Failed, fmt.Sprintf("a file in %s cannot be replaced by another: %v", dir, cause(err)), "keep the file on a local file system: --env-file")
		e.note(Inotify, Skipped, "no file could be replaced", "")
		return
	}
	e.note(Rename, OK, "a file is replaced in one step", "")
	switch {
	case seen != nil:
		e.note(Inotify, Warned, fmt.Sprintf("the kernel does not report changes in %s (%v): they are seen by polling, within a second", dir, seen),
			"raise fs.inotify.max_user_instances and max_user_watches, or keep the file on a local file system")
	case e.file.FileSystem != "":
		e.note(Inotify, Warned, fmt.Sprintf("%s is on %s, where the kernel does not report every change: the rest is seen by polling, within 0.3 s", dir, e.file.FileSystem),
			"keep the file on a local file system, if others write it from elsewhere")
	default:
		e.note(Inotify, OK, "changes are reported at once", "")
	}
}

// seenWithin bounds the wait for the kernel's event of a change. It comes at once
// where it comes at all, but a busy machine may pause for seconds.
const seenWithin = 5 * time.Second

// probe replaces a file in a new folder inside dir. unseen is why the kernel did
// not report it, nil when it did; err is why the file could not be replaced.
func probe(ctx context.Context, dir string) (unseen, err error) {
	folder, err := os.MkdirTemp(dir, ".kitestring-doctor-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	was, is := filepath.Join(folder, "env"), filepath.Join(folder, "env.tmp")
	for _, name := range []string{was, is} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			return nil, err
		}
	}
	watcher, unseen := fsnotify.NewWatcher()
	if unseen == nil {
		defer watcher.Close()
		unseen = watcher.Add(folder)
	}
	if err := os.Rename(is, was); err != nil {
		return unseen, err
	}
	if text, err := os.ReadFile(was); err != nil || string(text) != is {
		return unseen, fmt.Errorf("the new file is not there afterwards (%w)", err)
	}
	if unseen != nil {
		return unseen, nil
	}
	ctx, cancel := context.WithTimeout(ctx, seenWithin)
	defer cancel()
	for {
		select {
		case e := <-watcher.Events:
			if e.Name == was {
				return nil, nil
			}
		case err := <-watcher.Errors:
			return err, nil
		case <-ctx.Done():
			return fmt.Errorf("no event within %s", seenWithin), nil
		}
	}
}

// sentence splits a message into what happened and what to do about it. The
// program's messages read "it is so: do this" or "It is so. Do this".
func sentence(message string) (happened, todo string) {
	for _, mark := range []string{". ", ": "} {
		i := strings.LastIndex(message, mark)
		for i > 0 && message[i-1] == '.' { // "KEY=..." ends no sentence
			i = strings.LastIndex(message[:i-1], mark)
		}
		if i > 0 {
			return message[:i], message[i+len(mark):]
		}
	}
	return message, "correct it, then run kitestring doctor again"
}
