package peers

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode"

	"kitestring/messages/scrub"
)

// protocol is the version of what two servers say to each other. Fields may be
// added to a version; servers of two versions do not talk.
const protocol = 1

// What a frame may hold.
const (
	mostFrame   = 16 << 10
	mostText    = 300
	mostName    = 60
	mostRefused = 8
)

// Token is one side's token as both compare it: never the token itself.
type Token struct {
	Fingerprint string   `json:"fingerprint,omitempty"` // of the adopted one; "": none
	Generation  uint64   `json:"generation,omitempty"`
	Valid       bool     `json:"valid,omitempty"`   // Kite accepted it, and has not refused it since
	Pending     bool     `json:"pending,omitempty"` // a newer one stands in the file and is not proven
	AgeMS       int64    `json:"age_ms,omitempty"`  // since Kite first accepted it: no clock is compared with another
	APIKey      string   `json:"api_key,omitempty"` // fingerprint
	Account     string   `json:"account,omitempty"` // fingerprint of the user ID; "": not known yet
	Refused     []string `json:"refused,omitempty"` // fingerprints of the other's tokens that Kite refuses here
}

// frame is everything that is ever sent: one JSON object behind its length.
// Exactly one field is set.
type frame struct {
	Hello   *hello  `json:"hello,omitempty"`
	Join    *join   `json:"join,omitempty"`
	Joined  *joined `json:"joined,omitempty"`
	Sealed  *sealed `json:"sealed,omitempty"`
	Result  *result `json:"result,omitempty"`
	Refusal string  `json:"refusal,omitempty"` // why the conversation ends
}

// hello opens a conversation, on both sides.
type hello struct {
	Protocol int       `json:"protocol"`
	Version  string    `json:"version"` // of the program
	Name     string    `json:"name"`    // of the machine
	Now      time.Time `json:"now"`
	Token    Token     `json:"token"`
}

// join asks for enrolment. Proof shows that the sender has the code, and that
// the certificate and the key are those of the code's holder; the secret itself
// is never sent.
type join struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
	Name     string `json:"name"`
	Age      string `json:"age"` // the key that tokens are sealed to
	Proof    []byte `json:"proof"`
}

// joined accepts it.
type joined struct {
	Version string `json:"version"`
	Name    string `json:"name"`
	Age     string `json:"age"`
}

// sealed carries a token that only the other's key opens.
type sealed struct {
	Fingerprint string `json:"fingerprint"`
	AgeMS       int64  `json:"age_ms"`
	Box         []byte `json:"box"` // age, to the enrolled key
}

// result is what came of it.
type result struct {
	OK      bool   `json:"ok"`
	Refused bool   `json:"refused,omitempty"` // Kite refuses the token
	Reason  string `json:"reason,omitempty"`
}

// refusal is what the other side says against a conversation.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

var errRubbish = errors.New("what it sends is not what a kitestring of this version sends: look what listens at that address, and install the same version on both")

func writeFrame(w io.Writer, f frame) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// readFrame reads one frame; a refusal is an error.
func readFrame(r io.Reader) (f frame, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > mostFrame {
		return f, errRubbish
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return frame{}, errRubbish
	}
	if f.Refusal != "" {
		return frame{}, &refusal{scrub.New().Line(f.Refusal, mostText)}
	}
	return f, nil
}

// check refuses what no server sends, and bounds what is shown of it.
func (h *hello) check() error {
	if err := sameProtocol(h.Protocol, h.Version); err != nil {
		return err
	}
	h.Version, h.Name = shown(h.Version), shown(h.Name)
	t := &h.Token
	for _, f := range append([]string{t.Fingerprint, t.APIKey, t.Account}, t.Refused...) {
		if f != "" && !isFingerprint(f) {
			return errRubbish
		}
	}
	if t.Valid && t.Fingerprint == "" || len(t.Refused) > mostRefused || t.APIKey == "" {
		return errRubbish
	}
	t.AgeMS = max(0, t.AgeMS)
	return nil
}

func sameProtocol(theirs int, version string) error {
	if theirs == protocol {
		return nil
	}
	return fmt.Errorf("the other server (kitestring %s) speaks version %d of the peers' protocol, this one version %d: install the same kitestring on both", shown(version), theirs, protocol)
}

// shown is a name from outside, fit for a line.
func shown(text string) string {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return "unnamed"
		}
	}
	return scrub.New().Line(text, mostName)
}

// isFingerprint recognises what messages.Secret shows of a value.
func isFingerprint(text string) bool {
	if len(text) != 8 {
		return false
	}
	for _, r := range text {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return true
}
