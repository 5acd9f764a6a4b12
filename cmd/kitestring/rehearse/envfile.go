package rehearse

import (
	"os"
	"strings"
)

func (r *Rig) writeEnv(content string) { check(os.WriteFile(r.EnvFile, []byte(content), 0o600)) }

func (r *Rig) hasFile() bool {
	_, err := os.Stat(r.EnvFile)
	return err == nil
}

// fileToken is the token in the file.
func (r *Rig) fileToken() string {
	for line := range strings.Lines(string(must(os.ReadFile(r.EnvFile)))) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "ZERODHA_ACCESS_TOKEN="); ok {
			return strings.Trim(value, `'"`)
		}
	}
	failf("the file holds no token")
	return ""
}

// withToken is the file's content with another token.
func (r *Rig) withToken(value string) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(must(os.ReadFile(r.EnvFile)))) {
		if !strings.HasPrefix(line, "ZERODHA_ACCESS_TOKEN=") {
			out.WriteString(line)
		}
	}
	return []byte(out.String() + "ZERODHA_ACCESS_TOKEN=" + value + "\n")
}

// byRename writes a token as careful writers do: a new file, moved over.
func (r *Rig) byRename(value string) {
	next := r.EnvFile + ".new"
	check(os.WriteFile(next, r.withToken(value), 0o600))
	check(os.Rename(next, r.EnvFile))
}

// inPlace writes a token as "echo >" does: truncate, then write.
func (r *Rig) inPlace(value string) { check(os.WriteFile(r.EnvFile, r.withToken(value), 0o600)) }
