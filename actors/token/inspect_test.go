package token

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestInspect(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	i := Inspect(path, nil)
	if i.Exists || !strings.Contains(i.Refusal, "does not exist") || i.Unwritable != nil {
		t.Errorf("no file: %+v", i)
	}
	put(t, path, fmt.Sprintf(fileText, newToken()), 0o640)
	i = Inspect(path, nil)
	if !i.Exists || i.Mode.Perm() != 0o640 || i.Refusal != "" || len(i.Warnings) != 1 || i.Mounted || i.Unwritable != nil {
		t.Errorf("a file: %+v", i)
	}
	put(t, path, fmt.Sprintf(fileText, newToken())+"REDIRECT_URL=a\nREDIRECT_URL=b\njunk\n", 0o600)
	i = Inspect(path, func(key string) string {
		return map[string]string{KeyAccessToken: "yesterday's", KeyRedirectURL: "b"}[key]
	})
	if len(i.Odd) != 2 || !slices.Equal(i.Shadowed, []string{KeyAccessToken}) || len(i.Warnings) != 3 {
		t.Errorf("an odd file: %+v", i)
	}
	put(t, path, "ZERODHA_API_KEY\n", 0o600)
	if i = Inspect(path, nil); i.Line != 1 || i.Refusal == "" {
		t.Errorf("a bad file: %+v", i)
	}
	if left := strays(t, path); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if i = Inspect(filepath.Join(path, "none", ".env"), nil); i.Unwritable == nil {
		t.Errorf("a file where the directory should be: %+v", i)
	}
	if i = Inspect(filepath.Join(filepath.Dir(path), "none", ".env"), nil); !errors.Is(i.Unwritable, fs.ErrNotExist) {
		t.Errorf("no directory: %+v", i)
	}
}
