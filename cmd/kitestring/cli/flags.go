package cli

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// DefaultAddr is where the server listens and is looked for, unless
// KITESTRING_ADDR says otherwise.
const DefaultAddr = "127.0.0.1:8420"

// ServerAddr is the default of --addr.
func (p *Program) ServerAddr() string { return cmp.Or(p.Getenv("KITESTRING_ADDR"), DefaultAddr) }

// StateDir is the folder that a server keeps its state in.
func (p *Program) StateDir(flag, envFile string) string {
	// systemd's StateDirectory; otherwise a folder next to the file that it serves.
	return cmp.Or(flag, p.Getenv("STATE_DIRECTORY"), filepath.Join(filepath.Dir(envFile), ".kitestring"))
}

// CheckAddr is for every --addr, of a server and of its clients.
func CheckAddr(addr string) error { return CheckAddrOf("--addr", addr, DefaultAddr) }

// CheckAddrOf is CheckAddr for another flag.
func CheckAddrOf(flag, addr, like string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s %q: it looks like %s, with a port up to 65535", flag, addr, like)
	}
	return nil
}

// CheckLoopback is for the address of a simulated exchange.
func CheckLoopback(flag, addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s %q: it looks like 127.0.0.1:8421", flag, addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s %q: the simulator listens on loopback only, e.g. 127.0.0.1:8421", flag, addr)
	}
	return nil
}

// CheckProfile is for every --profile of a server.
func CheckProfile(profile string) error {
	switch profile {
	case "auto", "sim", "sandbox", "live":
		return nil
	}
	return fmt.Errorf("--profile %q: it is auto, sim, sandbox or live", profile)
}
