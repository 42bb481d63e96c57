/** Results and other JSON, which may be large. */

import { jsonOf } from "./pushed.js";
import { html, useState } from "./vendor/ui.js";
import { t } from "./words.js";

const SHOWN = 20_000; // characters at once

/**
 * A value as JSON, cut where it is long.
 * @param {{value: unknown, name: string}} props `name` is that of the file it is saved as.
 */
export function Json({ value, name }) {
  const [isWhole, showWhole] = useState(false);
  const text = value === undefined ? "null" : jsonOf(value, 2);
  const isLong = text.length > SHOWN;
  return html`<pre class="json" tabindex="0">${isLong && !isWhole ? text.slice(0, SHOWN) : text}</pre>
    ${isLong && !isWhole && html`<p class="cut">${t("result.cut", { shown: size(SHOWN), all: size(text.length) })}${" "}
      <button type="button" class="quiet" onClick=${() => showWhole(true)}>${t("result.all")}</button></p>`}
    <p class="tools">
      ${navigator.clipboard && html`<button type="button" class="quiet" onClick=${() => navigator.clipboard.writeText(text)}>${t("result.copy")}</button>`}
      <button type="button" class="quiet" onClick=${() => save(text, name)}>${t("result.save")}</button>
    </p>`;
}

/**
 * Let people save a text.
 * @param {string} text
 * @param {string} name of the file
 */
export function save(text, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: `${name}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function size(characters) {
  return characters < 1e6 ? `${Math.round(characters / 1e3)} k` : `${(characters / 1e6).toFixed(1)} M`;
}
