package peers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// code is what one server gives a person for the other: where it listens, which
// certificate it has, and a secret that is good for one enrolment.
type code struct {
	addr        string // host:port
	certificate fingerprint
	secret      [secretSize]byte
}

const (
	codePrefix   = "ksp1-" // names what it is, and its form
	secretSize   = 16
	checksumSize = 4
	mostCode     = 512
)

// fingerprint is the SHA-256 of a certificate.
type fingerprint [sha256.Size]byte

// String shows enough to compare two.
func (f fingerprint) String() string { return fmt.Sprintf("%x", f[:8]) }

// String is the code as a person copies it. It holds a secret.
func (c code) String() string {
	raw := append(append(append([]byte{}, c.certificate[:]...), c.secret[:]...), c.addr...)
	sum := sha256.Sum256(raw)
	return codePrefix + base64.RawURLEncoding.EncodeToString(append(raw, sum[:checksumSize]...))
}

// What can be wrong with a code before anybody is asked.
var (
	errNoCode      = errors.New("that is no code of \"kitestring peer invite\", which begins with " + codePrefix + ": copy it whole")
	errDamagedCode = errors.New("the code is damaged: copy it whole, from the first character to the last, or make another with \"kitestring peer invite\"")
)

// parseCode reads what a person pasted.
func parseCode(pasted string) (c code, err error) {
	text := strings.Trim(strings.TrimSpace(pasted), `"'`)
	text, ok := strings.CutPrefix(text, codePrefix)
	switch {
	case !ok:
		return c, errNoCode
	case len(text) > mostCode:
		return c, errDamagedCode
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	least := len(c.certificate) + secretSize + checksumSize
	if err != nil || len(raw) <= least {
		return c, errDamagedCode
	}
	body, sum := raw[:len(raw)-checksumSize], sha256.Sum256(raw[:len(raw)-checksumSize])
	if !bytes.Equal(sum[:checksumSize], raw[len(body):]) {
		return c, errDamagedCode
	}
	n := copy(c.certificate[:], body)
	n += copy(c.secret[:], body[n:])
	c.addr = string(body[n:])
	if checkAddr(c.addr) != nil {
		return c, errDamagedCode
	}
	return c, nil
}

// checkAddr says what is wrong with an address that another machine is to dial.
func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/?#@"`, r) }) {
		return fmt.Errorf("%.60q is not an address like 10.0.0.5:8440", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%.60q has no port from 1 to 65535, as 10.0.0.5:8440 has", addr)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%s names every address of this machine: say at which one the other server reaches it, with --reach 10.0.0.5:8440", addr)
	}
	return nil
}
