/** The messages on the wire, for as long as people look at them. */

import { Feed } from "./feed.js";
import { masked } from "./messages.js";
import { html, signal, useState } from "./vendor/ui.js";
import { t } from "./words.js";

const KEPT = 500;
const CUT = 300; // characters
const SEARCHED = 10_000;

/** @typedef {{direction: "->" | "<-", text: string, at: number}} Seen */

/** @type {Feed<Seen & {number: number}>} */
const seen = new Feed(KEPT);
const isOn = signal(false);
const filter = signal("");
let stop = () => {};

/** @param {import("./link.js").Link} link */
function toggle(link) {
  isOn.value = !isOn.value;
  if (isOn.value) stop = link.onWire((message) => seen.push({ ...message, text: masked(message.text), number: seen.count }));
  else stop();
}

/** The view. */
export default function Wire({ link }) {
  void seen.version.value;
  const wanted = filter.value.toLowerCase();
  const messages = seen.newest().filter((each) => !wanted || each.text.slice(0, SEARCHED).toLowerCase().includes(wanted)).reverse();
  return html`<section class="page" aria-labelledby="wire-title">
    <h2 id="wire-title">${t("view.wire")}</h2>
    <p class="hint">${t("wire.hint")}</p>
    <p class="bar">
      <button type="button" class=${isOn.value ? "" : "primary"} aria-pressed=${isOn.value} onClick=${() => toggle(link)}>${t(isOn.value ? "wire.stop" : "wire.start")}</button>
      <button type="button" class="quiet" onClick=${() => seen.clear()}>${t("wire.clear")}</button>
      <input type="search" aria-label=${t("wire.filter")} placeholder=${t("wire.filter")} value=${filter.value}
        onInput=${(event) => (filter.value = event.currentTarget.value)} />
    </p>
    <ol class="wire">${messages.map((each) => html`<${Message} key=${each.number} message=${each} />`)}</ol>
    ${messages.length === 0 && html`<p class="hint">${t("wire.none")}</p>`}
  </section>`;
}

function Message({ message: { direction, text, at } }) {
  const [isWhole, showWhole] = useState(false);
  const isOut = direction === "->";
  const time = new Date(at).toISOString().slice(11, 23);
  return html`<li class=${isOut ? "out" : "in"}>
    <time>${time}</time><span class="way" title=${t(isOut ? "wire.out" : "wire.in")}>${isOut ? "→" : "←"}</span>
    <code>${isWhole ? text : text.slice(0, CUT)}</code>
    ${text.length > CUT && !isWhole && html`<button type="button" class="quiet" onClick=${() => showWhole(true)}>${t("result.all")}</button>`}
  </li>`;
}
