package wire

import (
	"bytes"
	"encoding/base64"
	"testing"

	"kitestring/actors/actorstest"
)

// mock reads one of Kite's published mock responses.
func mock(t testing.TB, name string) []byte { return actorstest.ReadShared(t, "mocks", name) }

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
