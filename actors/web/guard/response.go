package guard

import "net/http"

// response writes what hide leaves of it.
type response struct {
	http.ResponseWriter
	hide func([]byte) []byte
}

// Response is w without what hide takes away. What writes to it writes whole JSON
// values.
func Response(w http.ResponseWriter, hide func([]byte) []byte) http.ResponseWriter {
	return response{w, hide}
}

// Write implements http.ResponseWriter.
func (r response) Write(data []byte) (int, error) {
	if _, err := r.ResponseWriter.Write(r.hide(data)); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Unwrap lets http.ResponseController reach the connection.
func (r response) Unwrap() http.ResponseWriter { return r.ResponseWriter }
