// Writes a TypeScript program that calls every step of a scenario through openapi-fetch with the types of
// openapi-typescript, so that the compiler checks every path, parameter and body against the document.
//
//   node typescript.mjs SCENARIO OPENAPI > scenario.ts
import { readFileSync } from "node:fs";

const [scenario, document] = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, "utf8")));

const operations = new Map();
for (const [path, item] of Object.entries(document.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    operations.set(operation.operationId, { path, method: method.toUpperCase(), operation });
  }
}

// literal writes a value as TypeScript; "${name}" within a text is what was saved under the name.
const literal = (value) =>
  JSON.stringify(value, null, 1).replace(/"((?:[^"\\]|\\.)*\$\{(?:[^"\\]|\\.)*)"/g, (_, text) =>
    "`" + text.replaceAll("`", "\\`").replace(/\$\{(\w+)\}/g, "${saved($1)}").replace(/saved\((\w+)\)/g, 'saved("$1")') + "`");

const steps = scenario.map((step) => {
  const { path, method, operation } = operations.get(step.op) ?? {};
  if (!path) throw new Error(`${step.op} is not in the document`);
  const params = [];
  if (step.path) params.push(`path: ${literal(step.path)}`);
  if (step.query) params.push(`query: ${literal(step.query)}`);
  const options = [`params: { ${params.join(", ")} }`];
  if (step.body) options.push(`body: ${literal(step.body)}`);
  if (step.raw) {
    const media = Object.keys(operation.requestBody.content)[0];
    options.push(`body: saved("${step.raw}"), bodySerializer: bytes, headers: { "Content-Type": "${media}" }`);
  }
  if (step.binary) options.push(`parseAs: "arrayBuffer"`);
  if (step.text) options.push(`parseAs: "text"`);
  return `await step(${JSON.stringify({ op: step.op, expect: step.expect ?? 200, until: step.until ?? "", save: step.save ?? {} })},
  () => client(${JSON.stringify(step.as ?? "")}).${method}(${JSON.stringify(path)}, { ${options.join(", ")} }));`;
});

process.stdout.write(`import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { argv: string[]; exit(code: number): never };
declare const Buffer: { from(data: ArrayBuffer | string, encoding?: string): Uint8Array & { toString(encoding: string): string } };

const settings = JSON.parse(process.argv[2] ?? "{}") as { base: string; tokens: Record<string, string>; saved: Record<string, string> };
const saved = (name: string): string => {
  const value = settings.saved[name];
  if (value === undefined) throw new Error("nothing was saved as " + name);
  return value;
};
const bytes = (base64: string): Uint8Array => Buffer.from(base64, "base64");
const client = (role: string) =>
  createClient<paths>({ baseUrl: settings.base, headers: role ? { Authorization: "Bearer " + settings.tokens[role] } : {} });

const at = (value: unknown, path: string): string => {
  if (path === "$") return value instanceof ArrayBuffer ? Buffer.from(value).toString("base64") : String(value);
  for (const name of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[name];
  return value === undefined || value === null ? "" : String(value);
};

interface Step { op: string; expect: number; until: string; save: Record<string, string> }
interface Answer { data?: unknown; error?: unknown; response: Response }

async function step(s: Step, call: () => Promise<Answer>): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { data, error, response } = await call();
    if (response.status !== s.expect) {
      console.error(s.op, response.status, "instead of", s.expect, JSON.stringify(error));
      process.exit(1);
    }
    if (s.until && at(data, s.until) === "" && tries < 600) {
      await new Promise<void>((done) => setTimeout(done, 100));
      continue;
    }
    for (const [name, path] of Object.entries(s.save)) {
      settings.saved[name] = at(data, path);
      if (settings.saved[name] === "") {
        console.error(s.op, "has nothing at", path, JSON.stringify(data));
        process.exit(1);
      }
    }
    console.log(s.op, response.status);
    return;
  }
}
declare function setTimeout(run: () => void, milliseconds: number): unknown;

${steps.join("\n")}
`);
