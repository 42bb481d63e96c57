/**
 * Makes two folders of the package, which are committed, so that neither users nor an installation need node:
 *
 * - `page/vendor`: what the page imports from others, and the terms that it comes under;
 * - `packed`: the page as a browser gets it, its modules put together and made small.
 *
 * tools/vendor-console runs it. `packed/MADE_FROM` is a digest of the sources, by which a test sees that it was run.
 */

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipAsync } from "@gfx/zopfli";
import { build } from "esbuild";
import { minify } from "terser";

const HERE = dirname(fileURLToPath(import.meta.url));
const LIBRARIES = join(HERE, "node_modules");
const CONSOLE = join(HERE, "../../jsonrpc_iot/asgi/console");
const [PAGE, PACKED] = [join(CONSOLE, "page"), join(CONSOLE, "packed")];
const VENDOR = join(PAGE, "vendor");
const SMALL = { bundle: true, minify: true, format: "esm", target: "es2022", logLevel: "warning", legalComments: "none" };

const UI = `
export { html, render } from "htm/preact";
export { useEffect, useMemo, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal, untracked } from "@preact/signals";
`;

/** What uPlot does for axes that are no straight ones; the page has none. */
const UNUSED = ["rangeLog", "rangeAsinh", "logAxisSplits", "asinhAxisSplits", "log10AxisValsFilt", "log2AxisValsFilt", "_sync"];

/** uPlot's own last lines hand out all that it can draw; without them only what is used is kept. */
const SMALLER_PLOT = {
  name: "smaller plot",
  setup({ onLoad }) {
    onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => {
      let [code] = (await readFile(path, "utf8")).split("uPlot.assign = assign;");
      for (const name of UNUSED) code = code.replace(new RegExp(`^function ${name}\\([^]*?^}`, "m"), `function ${name}() {}`);
      return { contents: `${code}\nuPlot.paths = { linear, points };\nexport { uPlot as default };` };
    });
  },
};

/** Templates keep their lines in the result, where what these begin with is of no use, nor that tags have their own. */
const NO_INDENTS = {
  name: "no indents",
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, async ({ path }) => {
      if (path.startsWith(LIBRARIES)) return undefined;
      const code = await readFile(path, "utf8");
      return { contents: code.replace(/^[ \t]+/gm, "").replace(/>\n+(?=<|\$\{)/g, ">").replace(/\}\n+(?=<)/g, "}") };
    });
  },
};

/** The plots' library comes when the first plot does. */
const PLOT_ASIDE = {
  name: "plot aside",
  setup({ onResolve }) {
    onResolve({ filter: /vendor\/plot\.js$/ }, () => ({ path: "./vendor/plot.js", external: true }));
  },
};

/** What is used of the libraries is put together with the rest of the page. */
const ONLY_USED = {
  name: "only used",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /vendor\/ui\.js$/ }, () => ({ path: "ui", namespace: "libraries" }));
    onLoad({ filter: /.*/, namespace: "libraries" }, () => ({ contents: UI, resolveDir: HERE }));
  },
};

async function vendor() {
  await mkdir(VENDOR, { recursive: true });
  const plot = 'export { default } from "uplot/dist/uPlot.esm.js";';
  for (const [name, code] of Object.entries({ "ui.js": UI, "plot.js": plot })) {
    const made = await build({ ...SMALL, stdin: { contents: code, resolveDir: HERE }, plugins: [SMALLER_PLOT], write: false });
    await writeFile(join(VENDOR, name), await smaller(made.outputFiles[0].text));
  }
  await cp(join(LIBRARIES, "uplot/dist/uPlot.min.css"), join(VENDOR, "plot.css"));
  const terms = await Promise.all(["preact", "htm", "@preact/signals", "@preact/signals-core", "uplot"].map(termsOf));
  const head = "ui.js is made of preact, htm and @preact/signals; plot.js and plot.css of uplot; by tools/vendor-console.";
  await writeFile(join(VENDOR, "VENDORED"), [head, ...terms].join("\n\n"));
}

async function termsOf(name) {
  const folder = join(LIBRARIES, name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((each) => each.startsWith("LICENSE"));
  const text = (await readFile(join(folder, file), "utf8")).replaceAll("\r", "").trimEnd();
  return `${name} ${version} ${license}\n${text}\n`;
}

async function pack() {
  await mkdir(join(PACKED, "vendor"), { recursive: true });
  const entryPoints = [join(PAGE, "app.js"), join(PAGE, "console.css")];
  const plugins = [NO_INDENTS, PLOT_ASIDE, ONLY_USED];
  const made = await build({ ...SMALL, entryPoints, plugins, outdir: PACKED, write: false });
  for (const { path, text } of made.outputFiles) await put(path, path.endsWith(".js") ? await smaller(text) : text);
  for (const name of ["plot.js", "plot.css"])
    await put(join(PACKED, "vendor", name), await readFile(join(VENDOR, name), "utf8"));
  const index = await readFile(join(PAGE, "index.html"), "utf8");
  await writeFile(join(PACKED, "index.html"), index.replace(/<link rel="modulepreload"[^>]*>\n|<!-- [^>]*-->\n/g, ""));
  await writeFile(join(PACKED, "MADE_FROM"), `${await digest()}\n`);
}

/** Write a file, and beside it what it is with gzip: that takes long to be made as small as it can be. */
async function put(path, text) {
  if ((await readFile(path, "utf8").catch(() => null)) === text) return;
  await writeFile(path, text);
  await writeFile(`${path}.gz`, await gzipAsync(Buffer.from(text), { numiterations: 60 }));
}

/** What is left of code when more is tried than a bundler has time for. */
async function smaller(code) {
  const compress = { passes: 5, ecma: 2022, unsafe_arrows: true, keep_fargs: false };
  return (await minify(code, { module: true, compress })).code;
}

/** A digest of all sources, by their names. */
async function digest() {
  const entries = await readdir(PAGE, { recursive: true, withFileTypes: true });
  const files = entries.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
  const hash = createHash("sha256");
  for (const path of files.sort()) hash.update(relative(PAGE, path)).update("\0").update(await readFile(path));
  return hash.digest("hex");
}

await vendor();
await pack();
