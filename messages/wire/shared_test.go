package wire

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
)

// mock reads one of Kite's published mock responses, which live beside the
// project; the test is skipped where they are absent.
func mock(t testing.TB, name string) []byte {
	t.Helper()
	shared := os.Getenv("KITESTRING_SHARED")
	if shared == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for !exists(filepath.Join(root, "go.mod")) {
			if filepath.Dir(root) == root {
				t.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		shared = filepath.Join(root, "..", "shared")
	}
	b, err := os.ReadFile(filepath.Join(shared, "mocks", name))
	if os.IsNotExist(err) {
		t.Skipf("the published mocks are not here (set KITESTRING_SHARED): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// mockPacket reads a mock that holds one packet in base64, without a frame.
func mockPacket(t testing.TB, name string) []byte {
	t.Helper()
	text := bytes.Join(bytes.Fields(mock(t, name)), nil)
	packet, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return packet
}
