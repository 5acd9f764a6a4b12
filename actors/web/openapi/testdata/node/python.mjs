// Writes Python classes of every type that an OpenAPI document describes, for
// Python's standard library: a time stays the text that it is.
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
console.log(lines.join("\n"));
