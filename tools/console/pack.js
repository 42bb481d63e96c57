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
import { minify } from "terser";
import { smaller } from "./plot.js";

const HERE = dirname(fileURLToPath(import.meta.url));
const LIBRARIES = join(HERE, "node_modules");
const CONSOLE = join(HERE, "../../jsonrpc_iot/asgi/console");
const [PAGE, PACKED] = [join(CONSOLE, "page"), join(CONSOLE, "packed")];
const VENDOR = join(PAGE, "vendor");
const WHOLE = { bundle: true, minify: true, format: "esm", target: "es2022", logLevel: "warning", legalComments: "none" };
const SMALL = { module: true, ecma: 2020, toplevel: true, compress: { passes: 4 }, format: { comments: false } };

const UI = `
export { html, render } from "htm/preact";
export { useEffect, useMemo, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal, untracked } from "@preact/signals";
`;

const SMALLER_PLOT = {
  name: "smaller plot",
  setup({ onLoad }) {
    onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => ({ contents: smaller(await readFile(path, "utf8")) }));
  },
};

/** Templates keep their lines in the result, where what these begin with is of no use, nor that tags have their own. */
const NO_INDENTS = {
  name: "no indents",
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, async ({ path }) => {
      if (dirname(path) === VENDOR) return undefined;
      const code = (await readFile(path, "utf8")).replace(/^[ \t]+/gm, "");
      return { contents: code.replace(/(?<=>)\n+(?=<|\$\{)/g, "") };
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
  await makeSmall({ ...from(UI), outfile: join(VENDOR, "ui.js") });
  const plot = from('export { default } from "uplot/dist/uPlot.esm.js";');
  await makeSmall({ ...plot, plugins: [SMALLER_PLOT], outfile: join(VENDOR, "plot.js") });
  const style = await readFile(join(LIBRARIES, "uplot/dist/uPlot.min.css"), "utf8");
  await writeFile(join(VENDOR, "plot.css"), style.replace(/[^{}]*\.u-(?:legend|inline|title|series)[^{}]*\{[^{}]*\}|font-family:[^;]*;/g, ""));
  const terms = await Promise.all(["preact", "htm", "@preact/signals", "@preact/signals-core", "uplot"].map(termsOf));
  const head = "ui.js is made of preact, htm and @preact/signals; plot.js, which has a part of it, and plot.css of uplot; by tools/vendor-console.";
  await writeFile(join(VENDOR, "VENDORED"), [head, ...terms].join("\n\n"));
}

/** Put modules together into one, and make it small. */
async function makeSmall(options) {
  await build({ ...WHOLE, ...options });
  const { code } = await minify(await readFile(options.outfile, "utf8"), SMALL);
  await writeFile(options.outfile, `${code}\n`);
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
  await mkdir(join(PACKED, "vendor"), { recursive: true });
  const app = { entryPoints: [join(PAGE, "app.js")], outfile: join(PACKED, "app.js") };
  await makeSmall({ ...app, plugins: [NO_INDENTS, PLOT_ASIDE] });
  const style = { entryPoints: [join(PAGE, "console.css")], outfile: join(PACKED, "console.css") };
  await build({ ...WHOLE, ...style });
  await cp(join(VENDOR, "plot.js"), join(PACKED, "vendor", "plot.js"));
  const index = await readFile(join(PAGE, "index.html"), "utf8");
  await writeFile(join(PACKED, "index.html"), index.replace(/<link rel="modulepreload"[^>]*>\n/, ""));
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
