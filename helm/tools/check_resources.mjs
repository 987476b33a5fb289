// Check KEDA's and the Prometheus operator's resources against their models, unknown fields included.
// Usage: node check_resources.mjs MODELS_DIR < JSON list of resources. Prints one fault a line; exit code 1 with any.
//
// The models see wrong types and missing fields, but read only the fields that they know. So each
// resource is checked through a proxy that notes what was read: what was not is unknown.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const modelsOf = { "keda.sh": "keda", "monitoring.coreos.com": "prometheus-operator" };
const folder = join(process.argv[2], "node_modules", "@kubernetes-models");

async function validator({ apiVersion, kind }) {
  const [group, version] = apiVersion.split("/");
  const schemas = join(folder, modelsOf[group] ?? "none of these", "_schemas");
  const ending = `${version}${kind}.js`.toLowerCase();
  const file = readdirSync(schemas).find((name) => name.toLowerCase().endsWith(ending));
  if (!file) throw new Error(`no model of ${apiVersion} ${kind}`);
  return (await import(pathToFileURL(join(schemas, file)))).validate;
}

function watched(value, path, read) {
  if (value === null || typeof value !== "object") return value;
  return new Proxy(value, {
    get(target, key) {
      const inner = Reflect.get(target, key);
      if (typeof key === "symbol" || typeof inner === "function") return inner;
      read.add(`${path}/${key}`);
      return watched(inner, `${path}/${key}`, read);
    },
  });
}

function paths(value, path = "") {
  if (value === null || typeof value !== "object") return [];
  return Object.keys(value).flatMap((key) => [`${path}/${key}`, ...paths(value[key], `${path}/${key}`)]);
}

const faults = [];
for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${resource.kind} ${resource.metadata?.name}`;
  const validate = await validator(resource);
  const read = new Set();
  if (!validate(watched(resource, "", read))) {
    for (const { instancePath, message, keyword, params } of validate.errors) {
      faults.push(`${name}: at ${instancePath || "/"}: ${message ?? keyword} ${JSON.stringify(params)}`);
    }
  }
  for (const path of paths(resource)) {
    // Of a map whose values may be anything, only the map is read.
    if (!read.has(path)) faults.push(`${name}: unknown field ${path}`);
  }
}
for (const fault of faults) console.log(fault);
process.exit(faults.length ? 1 : 0);
