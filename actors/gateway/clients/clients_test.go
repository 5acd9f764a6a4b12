package clients

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNothingSecretInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway-json")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.Add("a", Scopes{ScopeData}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := again.Find(key); !ok || r.Name != "a" {
		t.Errorf("not found after a restart: %+v", r)
	}
	for _, r := range again.List() {
		if strings.Contains(fmt.Sprintf("%+v", r), key.Reveal()) {
			t.Error("the file holds the key")
		}
	}
	for _, bad := range []struct {
		name   string
		scopes []Scope
	}{{"a", []Scope{ScopeData}}, {"A b", []Scope{ScopeData}}, {"c", nil}, {"d", []Scope{"everything"}}} {
		if _, err := s.Add(bad.name, bad.scopes, time.Now()); err == nil {
			t.Errorf("%q with %v was added", bad.name, bad.scopes)
		}
	}
}
