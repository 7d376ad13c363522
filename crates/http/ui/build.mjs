// Builds the console's page into dist/: `npm run build`, or `cargo xtask page`, which installs what it needs first.
//
// The built files are checked in, so that building Redpoll needs no Node. Two builds of the same sources are the same bytes.

import * as esbuild from "esbuild";
import { readFileSync, writeFileSync, rmSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

const dist = new URL("dist/", import.meta.url).pathname;

rmSync(join(dist, "assets"), { recursive: true, force: true });
mkdirSync(join(dist, "assets"), { recursive: true });
const result = await esbuild.build({
  entryPoints: [new URL("src/main.tsx", import.meta.url).pathname],
  absWorkingDir: new URL(".", import.meta.url).pathname,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  outdir: join(dist, "assets"),
  entryNames: "[name]-[hash]",
  charset: "utf8",
  legalComments: "eof",
  metafile: true,
});
const outputs = Object.keys(result.metafile.outputs).map((path) => basename(path));
const script = outputs.find((name) => name.endsWith(".js"));
const style = outputs.find((name) => name.endsWith(".css"));
const page = readFileSync(new URL("src/index.html", import.meta.url), "utf8")
  .replace("SCRIPT", `assets/${script}`)
  .replace("STYLE", `assets/${style}`);
writeFileSync(join(dist, "index.html"), page);
for (const name of outputs) {
  const path = join(dist, "assets", name);
  const packed = gzipSync(readFileSync(path), { level: 9 });
  // The byte that says on which system it was made.
  packed[9] = 255;
  writeFileSync(`${path}.gz`, packed);
}
// Whose work is in it, as their licences want it said.
const licences = ["preact", "uplot"].map((name) => {
  const folder = new URL(`node_modules/${name}/`, import.meta.url).pathname;
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${name} ${version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(join(dist, "licences.txt"), licences.join("\n\n"));
let total = 0;
for (const name of ["index.html", "licences.txt", ...readdirSync(join(dist, "assets")).map((name) => `assets/${name}`)]) {
  const { size } = statSync(join(dist, name));
  total += size;
  console.log(`${String(size).padStart(8)} ${name}`);
}
console.log(`${String(total).padStart(8)} in all`);
if (total > 300 * 1024) throw new Error("the page is larger than 300 KB");
