package assets

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
)

func text(t *testing.T, name string) string {
	t.Helper()
	content, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// unpacked are the assets as files beside each other.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, a := range All() {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, a.File)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, a.File), []byte(text(t, a.Name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), actorstest.Tool(t, "promtool", "prometheus"), args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

var wanted = []string{
	"KitestringDown", "KitestringLoginDue", "KitestringTokenRejected", "KitestringNotCoherent", "KitestringNoTicks", "KitestringStale", "KitestringRestartStorm",
	"KitestringQuarantined", "KitestringMailboxFull", "KitestringActorStuck", "KitestringSlowRotation", "KitestringDrops", "KitestringAssumptionContradicted",
	"KitestringRecordStopped", "KitestringRecordDrops", "KitestringDiskSoonFull",
	"KitestringBusDown", "KitestringBusLoses", "KitestringBusConsumerCut", "KitestringPeerNotCoherent",
	"KitestringGatewayClientSlow", "KitestringGatewayBudgetExhausted", "KitestringGatewayCapacity",
}

// blocks are the rules of alerts.yml by name.
func blocks(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, part := range strings.Split(text(t, "alerts"), "- alert: ")[1:] {
		name, block, _ := strings.Cut(part, "\n")
		found[name] = block
	}
	return found
}

func TestEachAlertIsExplainedAndTested(t *testing.T) {
	runbook, tests := text(t, "runbook"), text(t, "alerts-test")
	sections := map[string]string{}
	for _, part := range strings.Split("\n"+runbook, "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		sections[anchor(title)] = body
	}
	rules := blocks(t)
	for _, name := range wanted {
		if rules[name] == "" {
			t.Errorf("there is no alert %s", name)
		}
	}
	for name, block := range rules {
		if !slices.Contains(wanted, name) {
			t.Errorf("alert %s is not in this test's list", name)
		}
		for _, key := range []string{"severity: ", "summary: ", "description: "} {
			if !strings.Contains(block, key) {
				t.Errorf("alert %s has no %s", name, key)
			}
		}
		_, at, ok := strings.Cut(block, "runbook_url: 'http://{{ $labels.instance }}/runbook/")
		at, _, _ = strings.Cut(at, "'")
		if name == "KitestringDown" && strings.Contains(block, "runbook_url: file:///usr/share/doc/kitestring/runbook.md#kitestringdown\n") {
			at, ok = name, true // no server is there to ask
		}
		section := sections[anchor(at)]
		if !ok || at != name || section == "" {
			t.Errorf("alert %s leads to %s, which is not its section of the runbook", name, at)
		}
		for _, part := range []string{"**Meaning.**", "**First look.**", "**Fix.**", "**Drill.** `kitestring drill "} {
			if !strings.Contains(section, part) {
				t.Errorf("the runbook's section %s has no %s", name, part)
			}
		}
		quiet := regexp.MustCompile(`alertname: ` + name + `\n\s+exp_alerts: \[\]`)
		fires := regexp.MustCompile(`alertname: ` + name + `\n\s+exp_alerts:\n`)
		if !quiet.MatchString(tests) && name != "KitestringDown" || !fires.MatchString(tests) {
			t.Errorf("alert %s is not tested to fire and to be quiet", name)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(runbook, -1) {
		if sections[link[1]] == "" {
			t.Errorf("the runbook links to #%s, which is not there", link[1])
		}
	}
}

// anchor is how Markdown links to a title.
func anchor(title string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(title)), " ", "-")
}

// expressions are the dashboard's, by panel.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	var dashboard any
	if err := json.Unmarshal([]byte(text(t, "dashboard")), &dashboard); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	var walk func(any, string)
	walk = func(v any, title string) {
		switch v := v.(type) {
		case map[string]any:
			if s, ok := v["title"].(string); ok {
				title = s
			}
			if s, ok := v["expr"].(string); ok {
				found[fmt.Sprintf("%s %v %d", title, v["refId"], len(found))] = s
			}
			for _, child := range v {
				walk(child, title)
			}
		case []any:
			for _, child := range v {
				walk(child, title)
			}
		}
	}
	walk(dashboard, "")
	if len(found) < 20 {
		t.Fatalf("the dashboard has %d expressions only", len(found))
	}
	return found
}

// Whatever names a metric names one of the list; the list itself is held to a
// running server by the command's tests.
func TestEveryNameIsListed(t *testing.T) {
	known := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(kitestring_[a-z_]+)` \\| (\\w+) \\|").FindAllStringSubmatch(text(t, "metrics"), -1) {
		known[row[1]] = true
		if row[2] == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[row[1]+part] = true
			}
		}
	}
	for _, row := range regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(text(t, "recording"), -1) {
		known[row[1]] = true
	}
	used := 0
	check := func(where, content string) {
		for _, name := range regexp.MustCompile(`\bkitestring[_:][a-z0-9_:]+`).FindAllString(content, -1) {
			used++
			if !known[strings.TrimSuffix(name, ":")] {
				t.Errorf("%s names %s, which is not listed", where, name)
			}
		}
	}
	for _, name := range []string{"alerts", "recording", "alerts-test", "runbook"} {
		content := text(t, name)
		if name == "recording" { // the group's name is no metric
			content = strings.Replace(content, "name: kitestring_objectives", "", 1)
		}
		check(name, content)
	}
	for panel, expr := range expressions(t) {
		check("dashboard panel "+panel, expr)
	}
	t.Logf("%d names used, %d listed", used, len(known))
}

func TestPromtoolAccepts(t *testing.T) {
	dir := unpacked(t)
	promtool(t, dir, "check", "config", "prometheus.yml")
	promtool(t, dir, "check", "rules", "alerts.yml", "recording.yml")
	promtool(t, dir, "test", "rules", "alerts-test.yml")
	// Promtool parses no bare expression: the dashboard's become rules.
	rules := "groups:\n  - name: dashboard\n    rules:\n"
	n := 0
	for _, expr := range expressions(t) {
		expr = strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(expr)
		rules += fmt.Sprintf("      - record: dashboard:%d\n        expr: %s\n", n, strconv.Quote(expr))
		n++
	}
	if err := os.WriteFile(filepath.Join(dir, "dashboard.yml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, dir, "check", "rules", "dashboard.yml")
	t.Logf("%d expressions of the dashboard", n)
}

func TestUnitIsSandboxed(t *testing.T) {
	analyze := actorstest.Tool(t, "systemd-analyze", "systemd")
	unit := filepath.Join(t.TempDir(), "kitestring.service")
	// Verify wants the program to be there.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(text(t, "systemd"), "/usr/bin/kitestring", self)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", unit).CombinedOutput()
	level := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || level == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if exposure, err := strconv.ParseFloat(string(level[1]), 64); err != nil || exposure > 2.0 {
		t.Errorf("exposure %s, want at most 2.0", level[1])
	}
	t.Logf("exposure %s", level[1])
	for _, line := range []string{"Type=notify", "WatchdogSec=", "DynamicUser=yes", "StateDirectoryMode=0700", "Restart=always"} {
		if !strings.Contains(text(t, "systemd"), "\n"+line) {
			t.Errorf("the unit has no %s", line)
		}
	}
}

func TestImageIsSmallAndUnprivileged(t *testing.T) {
	file := text(t, "dockerfile")
	final := file[strings.LastIndex(file, "\nFROM "):]
	for _, line := range []string{
		"FROM scratch", "USER 65532:65532", "VOLUME /data", `CMD ["/kitestring", "status"]`, "--chown=65532:65532 /data /data",
	} {
		if !strings.Contains(final, line) {
			t.Errorf("the image's last stage has no %q", line)
		}
	}
	if strings.Contains(final, "VOLUME /data/.env") || strings.Contains(final, "\nRUN ") {
		t.Error("the volume is a directory, and nothing runs in an image from scratch")
	}
}

func TestUnknownAssetIsNamed(t *testing.T) {
	_, err := Read("moon")
	if err == nil || !strings.Contains(err.Error(), "runbook") || !strings.Contains(err.Error(), "moon") {
		t.Errorf("%v", err)
	}
}
