package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/google/renameio/v2"
)

// The files of an identity, each with mode 0600.
const (
	fileAge         = "age.key"
	fileKey         = "tls.key"
	fileCertificate = "tls.crt"
)

// identity is what this server is known by: the key that tokens are sealed to,
// and the certificate that connections are pinned to. No authority signs it.
type identity struct {
	age         *age.X25519Identity
	certificate tls.Certificate
	pin         fingerprint
}

// openIdentity reads the keys in a folder, and makes them when none is there.
func openIdentity(dir string) (id identity, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return id, fmt.Errorf("the folder of the peer's keys: %w", err)
	}
	secret, err := readPrivate(dir, fileAge)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeIdentity(dir); err != nil {
			return id, fmt.Errorf("the peer's keys cannot be made in %s: %w", dir, err)
		}
		secret, err = readPrivate(dir, fileAge)
	}
	if err != nil {
		return id, err
	}
	damaged := func(name string) error {
		return fmt.Errorf("%s is damaged: remove the folder %s, then enrol again with \"kitestring peer invite\"", filepath.Join(dir, name), dir)
	}
	if id.age, err = age.ParseX25519Identity(strings.TrimSpace(string(secret))); err != nil {
		return id, damaged(fileAge)
	}
	key, err := readPrivate(dir, fileKey)
	if err != nil {
		return id, damaged(fileKey)
	}
	certificate, err := readPrivate(dir, fileCertificate)
	if err != nil {
		return id, damaged(fileCertificate)
	}
	if id.certificate, err = tls.X509KeyPair(certificate, key); err != nil {
		return id, damaged(fileKey)
	}
	id.pin = sha256.Sum256(id.certificate.Certificate[0])
	return id, nil
}

// readPrivate reads a file that nobody else may read.
func readPrivate(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): chmod 600 it; if others may have read it, remove the folder and enrol again", path, mode)
	}
	return os.ReadFile(path)
}

// makeIdentity makes the files; that of the age key comes last, so that what
// openIdentity finds is whole.
func makeIdentity(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	// Pinned, not verified: dates and names say nothing, and a clock that is off
	// must not end a connection.
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kitestring peer"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	sealing, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{
		{fileKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})},
		{fileCertificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})},
		{fileAge, []byte(sealing.String() + "\n")},
	} {
		if err := renameio.WriteFile(filepath.Join(dir, f.name), f.text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tls is the configuration of both sides: TLS 1.3 with both certificates, and
// nothing of any authority. admit looks at the other's certificate.
func (id identity) tls(admit func(fingerprint) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.certificate},
		ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true, SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("the other side shows no certificate")
			}
			return admit(pinOf(s))
		},
	}
}

func pinOf(s tls.ConnectionState) fingerprint { return sha256.Sum256(s.PeerCertificates[0].Raw) }

// Folder is where keys and enrolment are, in a state directory: one a profile.
func Folder(stateDir, profile string) string { return filepath.Join(stateDir, "peers-"+profile) }

// Inspect reads what is in a folder, without making anything: for "kitestring
// doctor". there: a peer is enrolled.
func Inspect(dir string) (there bool, err error) {
	if _, err := readPrivate(dir, filePeer); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return true, err
	}
	for _, name := range []string{fileAge, fileKey, fileCertificate} {
		if _, err := readPrivate(dir, name); err != nil {
			return true, fmt.Errorf("%s: %w", name, err)
		}
	}
	return true, nil
}
