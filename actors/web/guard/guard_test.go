package guard

import (
	"encoding/json"
	"fmt"
	"net"
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

func TestConnectionsAreBounded(t *testing.T) {
	var c Connections
	open := func(n int, address string) (conns []net.Conn) {
		for range n {
			conn, other := net.Pipe()
			t.Cleanup(func() { conn.Close(); other.Close() })
			if c.add(conn, address) {
				conns = append(conns, conn)
			}
		}
		return conns
	}
	first := open(mostPerAddress+50, "192.0.2.1")
	if len(first) != mostPerAddress {
		t.Errorf("%d connections of one address, want %d", len(first), mostPerAddress)
	}
	n := len(first)
	for i := range 10 {
		n += len(open(mostPerAddress, fmt.Sprint("198.51.100.", i)))
	}
	if n != mostConnections {
		t.Errorf("%d connections, want %d", n, mostConnections)
	}
	c.remove(first[0])
	c.remove(first[0])
	if refused := c.Refused(); refused != uint64(50+10*mostPerAddress-(mostConnections-mostPerAddress)) {
		t.Errorf("%d refused", refused)
	}
	if len(open(2, "203.0.113.1")) != 1 {
		t.Error("a closed connection makes room for one")
	}
	for conn := range c.open {
		c.remove(conn)
	}
	if len(c.by) != 0 {
		t.Errorf("addresses are kept: %v", c.by)
	}
}
