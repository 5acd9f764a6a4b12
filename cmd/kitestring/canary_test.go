package main

import (
	"bytes"
	"runtime"
	"runtime/pprof"
)

// stacks is what every goroutine does, in all the ways in which a process
// tells it.
func stacks() string {
	var out bytes.Buffer
	buf := make([]byte, 8<<20)
	out.Write(buf[:runtime.Stack(buf, true)])
	for _, debug := range []int{1, 2} {
		_ = pprof.Lookup("goroutine").WriteTo(&out, debug)
	}
	return out.String()
}
