package guard

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"kitestring/messages"
)

const secret = "an-admin-token-of-more-than-32-characters"

func TestNoSecretLeavesUnscrubbed(t *testing.T) {
	awkward := `pass"word<&>/with 32 characters+more`
	secrets := []messages.Secret{messages.NewSecret(secret), messages.NewSecret(awkward), messages.NewSecret("a")}
	var g Gate
	text, _ := json.Marshal(map[string]string{"reason": "bad header GET /ws?access_token=" + url.QueryEscape(awkward) + " " + awkward, "a": "Authorization: " + secret})
	for range 2 { // the forms are kept
		got := g.Hide(text, secrets)
		for _, s := range secrets[:2] {
			quoted, _ := json.Marshal(s.Reveal())
			for _, form := range []string{s.Reveal(), url.QueryEscape(s.Reveal()), strings.Trim(string(quoted), `"`)} {
				if strings.Contains(string(got), form) {
					t.Errorf("%s holds %s", got, form)
				}
			}
		}
		var back map[string]string
		if err := json.Unmarshal(got, &back); err != nil || back["a"] != "Authorization: "+secrets[0].String() {
			t.Errorf("%s: %v", got, err)
		}
	}
	if got := g.Hide(text, nil); string(got) != string(text) {
		t.Error("without secrets the text is not as it was")
	}
}

// Many addresses take no more memory than a thousand of them.
func TestGuessersAreBounded(t *testing.T) {
	var g Guesses
	for i := range 2000 {
		g.Try(fmt.Sprint(i), func() bool { return false })
	}
	if n := len(g.failed); n > guessers+1 {
		t.Errorf("%d addresses are counted, want at most %d", n, guessers+1)
	}
}
