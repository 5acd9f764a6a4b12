package main

import (
	"crypto/x509"
	"testing"
)

// TestCertificatesAreInTheBinary: a container from scratch has none of its own.
// The standard library takes one set of fallback roots, once: a second is
// refused when the first is there, and not only in the module's file.
func TestCertificatesAreInTheBinary(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the binary brings no certificate authorities")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool())
}
