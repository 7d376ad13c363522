// Builds the console's page into dist/: `npm run build`, or `cargo xtask page`, which installs what it needs first.
//
// The built files are checked in, so that building Redpoll needs no Node. Two builds of the same sources are the same bytes.
//
// What a browser needs before it can draw anything is in the page itself: its styles, and what stands there until the script has
// run, a form to log in with (index.html) or the frame of the console for who is logged in (in.html).

import * as esbuild from "esbuild";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync, rmSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

const dist = new URL("dist/", import.meta.url).pathname;
const source = (name) => readFileSync(new URL(`src/${name}`, import.meta.url), "utf8");

rmSync(join(dist, "assets"), { recursive: true, force: true });
mkdirSync(join(dist, "assets"), { recursive: true });
const result = await esbuild.build({
  entryPoints: [new URL("src/main.tsx", import.meta.url).pathname],
  absWorkingDir: new URL(".", import.meta.url).pathname,
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  outdir: join(dist, "assets"),
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  charset: "utf8",
  legalComments: "eof",
  metafile: true,
});

function pack(path) {
  const packed = gzipSync(readFileSync(path), { level: 9 });
  // The byte that says on which system it was made.
  packed[9] = 255;
  writeFileSync(`${path}.gz`, packed);
}

const outputs = Object.entries(result.metafile.outputs);
const scripts = outputs.filter(([path]) => path.endsWith(".js"));
for (const [path] of scripts) pack(join(dist, "assets", basename(path)));
const [main, { imports, cssBundle }] = scripts.find(([, output]) => output.entryPoint === "src/main.tsx");
const sheet = join(dist, "assets", basename(cssBundle));
const style = readFileSync(sheet, "utf8").trim();
rmSync(sheet);
// The script's own imports are asked for with it, and not when it has been read.
const preloads = imports
  .filter(({ kind }) => kind === "import-statement")
  .map(({ path }) => `<link rel="modulepreload" href="assets/${basename(path)}">`);
const page = source("index.html")
  .replace("SCRIPT", `assets/${basename(main)}`)
  .replace("PRELOADS", preloads.join("\n"))
  .replace("STYLE", () => style);
for (const [name, body] of [["index.html", "out.html"], ["in.html", "in.html"]]) {
  writeFileSync(join(dist, name), page.replace("BODY", () => source(body).replace(/\n/g, "")));
  pack(join(dist, name));
}
// By which the policy of content lets these styles in, and no others.
writeFileSync(join(dist, "style.sha256"), createHash("sha256").update(style).digest("base64"));

// Whose work is in it, as their licences want it said.
const licences = ["preact", "uplot"].map((name) => {
  const folder = new URL(`node_modules/${name}/`, import.meta.url).pathname;
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${name} ${version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(join(dist, "licences.txt"), licences.join("\n\n"));
let total = 0;
for (const name of [...readdirSync(dist).filter((name) => name !== "assets"), ...readdirSync(join(dist, "assets")).map((name) => `assets/${name}`)]) {
  const { size } = statSync(join(dist, name));
  total += size;
  console.log(`${String(size).padStart(8)} ${name}`);
}
console.log(`${String(total).padStart(8)} in all`);
if (total > 300 * 1024) throw new Error("the page is larger than 300 KB");
