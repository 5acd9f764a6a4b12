// Writes a client in Python of an OpenAPI document, for Python's standard library:
// a class of every type that is described, by quicktype (a time stays the text that
// it is), and a class API with a method of each operation that answers with JSON,
// written below: npm has no generator of a Python client, and PyPI's are not within
// reach of every machine that runs this.
import { readFileSync } from "node:fs";
import { FetchingJSONSchemaStore, InputData, JSONSchemaInput, quicktype } from "quicktype-core";

const plain = (key, value) => (key === "format" ? undefined : value);
const document = JSON.parse(readFileSync(process.argv[2], "utf8"), plain);
const input = new JSONSchemaInput(new FetchingJSONSchemaStore());
for (const name of Object.keys(document.components.schemas)) {
  await input.addSource({ name, schema: JSON.stringify({ ...document, $ref: `#/components/schemas/${name}` }) });
}
const inputData = new InputData();
inputData.addInput(input);
const { lines } = await quicktype({ inputData, lang: "python", inferEnums: false, rendererOptions: { "python-version": "3.7" } });

// What quicktype calls the class of a type, and the functions that make it of what
// JSON has, and back.
const snake = (ref) => ref.split("/").at(-1).replaceAll(".", "_").replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
const className = (ref) => snake(ref).split("_").map((w) => w[0].toUpperCase() + w.slice(1)).join("");
function typeOf(schema) {
  if (schema.$ref) return { hint: `"${className(schema.$ref)}"`, read: (v) => `${snake(schema.$ref)}_from_dict(${v})` };
  if (schema.type === "array" && schema.items.$ref) return { hint: `List["${className(schema.items.$ref)}"]`, read: (v) => `[${snake(schema.items.$ref)}_from_dict(x) for x in ${v}]` };
  return { hint: "Any", read: (v) => v };
}
const safe = (name) => (["from", "in", "is"].includes(name) ? `${name}_` : name);

const methods = [];
for (const [path, operations] of Object.entries(document.paths)) {
  for (const [verb, o] of Object.entries(operations)) {
    const answer = Object.entries(o.responses).find(([code]) => code.startsWith("2"))?.[1];
    const schema = answer?.content?.["application/json"]?.schema;
    if (!answer || (answer.content && !schema)) continue; // a stream, a page or bytes
    const of = (place) => (o.parameters ?? []).filter((p) => p.in === place && p.name !== "format"); // format: CSV is no class
    const body = o.requestBody?.content["application/json"].schema.$ref;
    const takes = [
      "self",
      ...of("path").map((p) => `${safe(p.name)}: str`),
      ...(body ? [`body: "${className(body)}"`] : []),
      ...of("query").map((p) => `${safe(p.name)}: Any = None`),
    ];
    const result = typeOf(schema ?? {});
    const address = path.replace(/\{(\w+)\}/g, (_, name) => `{quote(${safe(name)}, safe="")}`);
    const query = of("query").map((p) => `"${p.name}": ${safe(p.name)}`).join(", ");
    const ask = `self.ask("${verb.toUpperCase()}", f'${address}', {${query}}, ${body ? `${snake(body)}_to_dict(body)` : "None"})`;
    methods.push(`    def ${o.operationId}(${takes.join(", ")})${schema ? ` -> ${result.hint}` : ""}:`, `        ${JSON.stringify(o.summary ?? path)}`, `        return ${result.read(ask)}`, "");
  }
}

console.log(`${lines.join("\n")}

import json
import urllib.request
from urllib.parse import quote, urlencode


class API:
    """The API of a server at the address, http://127.0.0.1:8420 unless it is another one."""

    def __init__(self, address: str = "http://127.0.0.1:8420", admin_token: str = "") -> None:
        self.address = address.rstrip("/")
        self.headers = {"Authorization": "Bearer " + admin_token} if admin_token else {}

    def ask(self, verb: str, path: str, query: Any, body: Any) -> Any:
        chosen = urlencode({k: v for k, v in query.items() if v is not None})
        data = None if body is None else json.dumps(body).encode()
        headers = dict(self.headers, **({} if data is None else {"Content-Type": "application/json"}))
        request = urllib.request.Request(self.address + path + ("?" + chosen if chosen else ""), data=data, headers=headers, method=verb)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

${methods.join("\n")}`);
