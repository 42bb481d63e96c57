/**
 * Makes two folders of the package, which are committed, so that neither users nor an installation need node:
 *
 * - `page/vendor`: what the page imports from others, and the terms that it comes under;
 * - `packed`: the page as a browser gets it, its modules put together and made small.
 *
 * tools/vendor-console runs it. `packed/MADE_FROM` is a digest of the sources, by which a test sees that it was run.
 */

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

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

/** uPlot's own last lines hand out all that it can draw; without them only what is used is kept. */
const SMALLER_PLOT = {
  name: "smaller plot",
  setup({ onLoad }) {
    onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => {
      const [code] = (await readFile(path, "utf8")).split("uPlot.assign = assign;");
      return { contents: `${code}\nuPlot.paths = { linear, points };\nexport { uPlot as default };` };
    });
  },
};

/** Templates keep their lines in the result; what these begin with is of no use there. */
const NO_INDENTS = {
  name: "no indents",
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, async ({ path }) => {
      if (dirname(path) === VENDOR) return undefined;
      return { contents: (await readFile(path, "utf8")).replace(/^[ \t]+/gm, "") };
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

async function vendor() {
  await mkdir(VENDOR, { recursive: true });
  const from = (contents) => ({ stdin: { contents, resolveDir: HERE } });
  await build({ ...SMALL, ...from(UI), outfile: join(VENDOR, "ui.js") });
  const plot = from('export { default } from "uplot/dist/uPlot.esm.js";');
  await build({ ...SMALL, ...plot, plugins: [SMALLER_PLOT], outfile: join(VENDOR, "plot.js") });
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
  await rm(PACKED, { recursive: true, force: true });
  const made = await build({
    ...SMALL,
    entryPoints: [join(PAGE, "app.js"), join(PAGE, "console.css")],
    outdir: PACKED,
    splitting: true,
    chunkNames: "[name]-[hash]",
    metafile: true,
    plugins: [NO_INDENTS, PLOT_ASIDE],
  });
  await mkdir(join(PACKED, "vendor"));
  for (const name of ["plot.js", "plot.css"]) await cp(join(VENDOR, name), join(PACKED, "vendor", name));
  const [app] = Object.entries(made.metafile.outputs).filter(([path]) => path.endsWith("/app.js"));
  const parts = app[1].imports.filter((each) => each.kind === "import-statement").map((each) => each.path.split("/").pop());
  const preload = parts.map((each) => `<link rel="modulepreload" href="./${each}">`).join("\n");
  const index = await readFile(join(PAGE, "index.html"), "utf8");
  await writeFile(join(PACKED, "index.html"), index.replace(/<link rel="modulepreload"[^>]*>/, preload));
  await writeFile(join(PACKED, "MADE_FROM"), `${await digest()}\n`);
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
