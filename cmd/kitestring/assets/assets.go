// Package assets is what the binary carries for those who operate it: alert and
// recording rules with their tests, the lists of metrics and of the analyses'
// parameters, a Grafana dashboard, the runbook, and the sources of the packages.
// Tests compare them with each other, with the code and with a running server:
// a metric, a parameter, an alert or a section of the runbook cannot change alone.
package assets

import (
	"embed"
	"fmt"
	"strings"
)

// Asset is one file that the binary carries.
type Asset struct {
	Name  string `json:"name"` // by which it is asked for
	File  string `json:"file"`
	About string `json:"about"`
}

//go:embed metrics.md parameters.md alerts.yml alerts-test.yml recording.yml prometheus.yml dashboard.json runbook.md kitestring.service Dockerfile examples/python.py examples/node.mjs examples/go.go.txt examples/curl.sh examples/nats.go.txt examples/nats.py examples/ticks.py examples/bars.py examples/api.sh
var files embed.FS

var all = []Asset{
	{"runbook", "runbook.md", "what to do when an alert fires: meaning, first look, fix, drill"},
	{"metrics", "metrics.md", "every metric: name, type, labels"},
	{"parameters", "parameters.md", "every number of the analyses that can be configured: default, range, meaning"},
	{"prometheus", "prometheus.yml", "a configuration for Prometheus that scrapes kitestring"},
	{"alerts", "alerts.yml", "alert rules for Prometheus"},
	{"recording", "recording.yml", "recording rules: the service levels"},
	{"alerts-test", "alerts-test.yml", "unit tests of both, for promtool test rules"},
	{"dashboard", "dashboard.json", "a dashboard for Grafana"},
	{"systemd", "kitestring.service", "a systemd unit, sandboxed, with a watchdog"},
	{"dockerfile", "Dockerfile", "an image from scratch"},
	{"example-python", "examples/python.py", "a Python program that streams through the gateway"},
	{"example-node", "examples/node.mjs", "the same in JavaScript, for Node.js"},
	{"example-go", "examples/go.go.txt", "the same in Go"},
	{"example-curl", "examples/curl.sh", "quotes and ticks with curl and websocat"},
	{"example-nats-go", "examples/nats.go.txt", "a Go program that consumes the bus, counts holes and asks the recording for them"},
	{"example-nats-python", "examples/nats.py", "the same in Python, standard library only"},
	{"example-ticks", "examples/ticks.py", "a Python program, standard library only, that streams ticks over the API"},
	{"example-pandas", "examples/bars.py", "bars as a pandas data frame"},
	{"example-api", "examples/api.sh", "ticks, bars and readings over the API with curl"},
}

// All are the assets.
func All() []Asset { return all }

// Read is the content of an asset; its error names those that exist.
func Read(name string) ([]byte, error) {
	var names []string
	for _, a := range all {
		if a.Name == name {
			return files.ReadFile(a.File)
		}
		names = append(names, a.Name)
	}
	return nil, fmt.Errorf("no asset is called %q; there are: %s", name, strings.Join(names, ", "))
}
