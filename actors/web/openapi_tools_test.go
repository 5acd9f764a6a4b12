package web_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
)

const toolsFolder = "openapi/testdata/node"

// TestDescriptionPassesALinterAndMakesAClient: a public linter finds no error,
// a generator makes types of it, and a program in TypeScript that uses them
// compiles; one that reads a field which is not there does not.
func TestDescriptionPassesALinterAndMakesAClient(t *testing.T) {
	if testing.Short() {
		t.Skip("a linter, a generator and a compiler are not for -short")
	}
	node := actorstest.Tool(t, "node", "nodejs")
	modules, err := filepath.Abs(filepath.Join(toolsFolder, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(modules); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("LEFT OUT: the linter and the generator are missing: cd actors/web/openapi/testdata/node && npm ci")
	}
	_, _, addr := open(t, &fakes{})
	_, document := request(t, "GET", "http://"+addr+"/api/v1/openapi.json", "")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(program string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), node, append([]string{filepath.Join(modules, filepath.FromSlash(program))}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	spec := write("openapi.json", document)
	out, _ := run("@redocly/cli/bin/cli.js", "lint", spec, "--format=json")
	var report struct {
		Totals struct{ Errors, Warnings int }
	}
	_, out, _ = strings.Cut(out, "{")
	if err := json.NewDecoder(strings.NewReader("{" + out)).Decode(&report); err != nil || report.Totals.Errors != 0 {
		t.Errorf("the linter finds %d errors (%v):\n%.4000s", report.Totals.Errors, err, out)
	}
	t.Logf("the linter finds %d errors, %d warnings", report.Totals.Errors, report.Totals.Warnings)
	if out, err := run("openapi-typescript/bin/cli.js", spec, "-o", filepath.Join(dir, "api.d.ts")); err != nil {
		t.Fatalf("no types: %v\n%s", err, out)
	}
	compile := func(source string) (string, error) {
		return run("typescript/bin/tsc", "--noEmit", "--strict", "--lib", "es2022,dom", write("program.ts", source))
	}
	const program = `import type { paths, components } from "./api";
type Ticks = paths["/api/v1/ticks"]["get"]["responses"]["200"]["content"]["application/json"];
type Live = paths["/api/v1/stream"]["get"]["responses"]["200"]["content"]["text/event-stream"];
const ticks: Ticks = await (await fetch("/api/v1/ticks")).json();
for (const t of ticks) console.log(t.instrument_token, (t.last_price ?? 0).toFixed(2), t.FIELD);
const status: components["schemas"]["Status"] = await (await fetch("/api/v1/status")).json();
const live = (e: Live) => (e.event === "alert" ? e.data.text : status.message);
export { live };
`
	if out, err := compile(strings.Replace(program, "FIELD", "tradingsymbol", 1)); err != nil {
		t.Errorf("a program with the types does not compile: %v\n%s", err, out)
	}
	if out, err := compile(strings.Replace(program, "FIELD", "trading_symbol", 1)); err == nil {
		t.Errorf("a program that reads what is not described compiles: %s", out)
	}

	// A whole client: it compiles, asks the server, and knows each operation's answer.
	if out, err := run("@hey-api/openapi-ts/bin/run.js", "-i", spec, "-o", filepath.Join(dir, "client"), "--no-log-file"); err != nil {
		t.Fatalf("no client: %v\n%s", err, out)
	}
	const asking = `import { getStatus, getReadings } from "./client";
import { client } from "./client/client.gen";
client.setConfig({ baseUrl: "http://ADDR" });
(async () => {
  const { data } = await getStatus({ throwOnError: true });
  const { data: readings } = await getReadings({ throwOnError: true });
  console.log(data.FIELD, data.feed.ticks_per_second.toFixed(0), readings.map((r) => r.kind));
})();
`
	build := func(field string) (string, error) {
		source := strings.NewReplacer("ADDR", addr, "FIELD", field).Replace(asking)
		return run("typescript/bin/tsc", "--strict", "--target", "es2022", "--module", "commonjs", "--moduleResolution", "node10",
			"--lib", "es2022,dom,dom.iterable", "--outDir", filepath.Join(dir, "js"), write("asking.ts", source))
	}
	if out, err := build("mesage"); err == nil {
		t.Errorf("a program that asks the client for what is not described compiles: %s", out)
	}
	if out, err := build("message"); err != nil {
		t.Fatalf("the client does not compile: %v\n%s", err, out)
	}
	ran, err := exec.CommandContext(t.Context(), node, filepath.Join(dir, "js", "asking.js")).CombinedOutput()
	_, text := request(t, "GET", "http://"+addr+"/api/v1/status", "")
	var status struct{ Message string }
	if json.Unmarshal([]byte(text), &status) != nil || err != nil || status.Message == "" || !strings.HasPrefix(string(ran), status.Message) {
		t.Errorf("the client says %q (%v), the server %q", ran, err, status.Message)
	}
}

// TestDescriptionMakesAClientInPython: a Python client is made of the description:
// a class of each type by a public generator, a method of each operation by a
// program of the test's, since no public generator of a whole Python client comes
// by npm or Debian, which are what this test may ask (PyPI has
// openapi-python-client). It reads what the server sends; a program that reads what
// is not described fails.
func TestDescriptionMakesAClientInPython(t *testing.T) {
	if testing.Short() {
		t.Skip("a generator is not for -short")
	}
	node, python := actorstest.Tool(t, "node", "nodejs"), actorstest.Tool(t, "python3", "python3")
	if _, err := os.Stat(filepath.Join(toolsFolder, "node_modules", "quicktype-core")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("LEFT OUT: the generator is missing: cd actors/web/openapi/testdata/node && npm ci")
	}
	_, _, addr := open(t, &fakes{})
	_, document := request(t, "GET", "http://"+addr+"/api/v1/openapi.json", "")
	dir := t.TempDir()
	spec := filepath.Join(dir, "openapi.json")
	if err := os.WriteFile(spec, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := exec.CommandContext(t.Context(), node, filepath.Join(toolsFolder, "python.mjs"), spec).Output()
	if err != nil {
		t.Fatalf("no client: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "client.py"), client, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(field string) (string, error) {
		cmd := exec.CommandContext(t.Context(), python, "-c", strings.NewReplacer("ADDR", addr, "FIELD", field).Replace(`
import json, urllib.error, client
api = client.API("http://ADDR")
status = api.get_status()
assert client.status_to_dict(status)["profile"] == status.profile
print(status.FIELD, status.feed.ticks_per_second, api.get_token().state, [r.kind for r in api.get_readings()], api.get_ticks(instruments=None))
try:
    api.get_readings_by_underlying("NO/SUCH")
except urllib.error.HTTPError as e:
    assert e.code == 404, e.code
    print(client.problem_from_dict(json.load(e)).title)
api.post_alerts_test(client.AlertTest(name=""))
methods = [m for m in dir(api) if m.startswith(("get_", "post_", "delete_"))]
document = api.get_openapi_json()
spoken = [o for p in document["paths"].values() for o in p.values() if any("application/json" in r.get("content", {}) or not r.get("content") for c, r in o["responses"].items() if c.startswith("2"))]
assert sorted(methods) == sorted(o["operationId"] for o in spoken), (methods, spoken)
print(len(methods), "operations")
`))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("message"); err != nil {
		t.Errorf("a program with the client fails: %v\n%s", err, out)
	} else {
		t.Log(out)
	}
	if out, err := run("mesage"); err == nil || !strings.Contains(out, "AttributeError") {
		t.Errorf("a program that reads what is not described does not fail: %s", out)
	}
}

// TestEveryTopicIsDescribed reads the topics of the stream and of its description.
func TestEveryTopicIsDescribed(t *testing.T) {
	_, _, addr := open(t, &fakes{})
	_, refusal := request(t, "GET", "http://"+addr+"/api/v1/stream?topics=weather", "")
	var p struct{ Names []string }
	if err := json.Unmarshal([]byte(refusal), &p); err != nil || len(p.Names) < 10 {
		t.Fatal(refusal, err)
	}
	_, document := request(t, "GET", "http://"+addr+"/api/v1/openapi.json", "")
	for _, topic := range p.Names {
		if !strings.Contains(document, `"enum":["`+topic+`"]`) {
			t.Errorf("the topic %s is not described", topic)
		}
	}
}

// TestEveryFieldIsDescribed: what a field is stands in its description, more than
// its name does, and a number has its unit.
func TestEveryFieldIsDescribed(t *testing.T) {
	_, _, addr := open(t, &fakes{})
	_, document := request(t, "GET", "http://"+addr+"/api/v1/openapi.json", "")
	type field struct {
		Description string
		Type        string
		AnyOf       []struct{ Type string }
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Description string
				Properties  map[string]field
			}
		}
	}
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`[a-z0-9]+`)
	parenthesis := regexp.MustCompile(`\([^)]*\)`)
	unit := regexp.MustCompile(`rupee|second|percent|unit|byte|0-1|number of|number that|code number|\bratio\b|minute|\bdays?\b|years?\b`)
	// says reports whether a text says more than a name.
	says := func(text, name string) bool {
		known := append(word.FindAllString(name, -1), strings.Split(name, "_")...)
		return slices.ContainsFunc(word.FindAllString(strings.ToLower(parenthesis.ReplaceAllString(text, "")), -1), func(w string) bool {
			return !slices.Contains(known, w) && !slices.Contains([]string{"a", "an", "the", "of", "in", "is", "its"}, w)
		})
	}
	for text, want := range map[string]bool{"last price": false, "the last price (rupees)": false, "price of the newest trade": true} {
		if says(text, "last_price") != want {
			t.Errorf("%q says more than last_price: want %t", text, want)
		}
	}
	fields := 0
	for name, s := range doc.Components.Schemas {
		if s.Description == "" && !strings.HasPrefix(name, "web.") {
			t.Errorf("%s is not described", name)
		}
		for key, f := range s.Properties {
			fields++
			if !says(f.Description, key) {
				t.Errorf("%s.%s: %q says no more than its name: give the field a comment, then go test ./actors/web/openapi -update", name, key, f.Description)
			}
			types := []string{f.Type}
			for _, one := range f.AnyOf {
				types = append(types, one.Type)
			}
			if (slices.Contains(types, "number") || slices.Contains(types, "integer")) && !unit.MatchString(f.Description) {
				t.Errorf("%s.%s: %q has no unit", name, key, f.Description)
			}
		}
	}
	t.Logf("%d fields of %d types", fields, len(doc.Components.Schemas))
}
