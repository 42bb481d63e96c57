/** The view of the methods: a list with a filter, and the one that was chosen. */

import { uriPart } from "./messages.js";
import { Method } from "./method.js";
import { html, signal, useEffect, useRef } from "./vendor/ui.js";
import { t } from "./words.js";

const STEP = 200; // names that are drawn at once

const filter = signal("");
const most = signal(STEP);

/**
 * Show the methods that have something in their names.
 * @param {string} part
 */
export function filterMethods(part) {
  filter.value = part;
  most.value = STEP;
}

/** @param {{device: import("./device.js").Device, path: string[]}} props */
export default function Methods({ device, path: [name] }) {
  const description = device.description.value;
  const form = name === undefined ? undefined : device.formOf(name);
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (name !== undefined) heading.current?.querySelector("h2")?.focus();
  }, [name]);
  if (!description) return html`<p class="page hint">${device.problem.value === null ? t("methods.loading") : t("methods.failed", { reason: device.problem.value })}</p>`;
  return html`<div class=${name === undefined ? "split" : "split chosen"}>
    <${List} methods=${description.methods} chosen=${name} />
    <div class="detail" ref=${heading}>
      ${name !== undefined && html`<a class="back" href="#/methods">${t("methods.back")}</a>`}
      ${form ? html`<${Method} key=${name} form=${form} link=${device.link} />` : html`<${Nothing} name=${name} description=${description} />`}
    </div>
  </div>`;
}

function Nothing({ name, description }) {
  if (name !== undefined) return html`<p class="hint">${t("methods.unknown", { name })}</p>`;
  return html`<div class="welcome"><h2>${description.title || t("console")}</h2>
    ${description.description && html`<p class="long">${description.description}</p>`}
    <p class="hint">${t("methods.count", { count: description.methods.size })}</p><p class="hint">${t("methods.choose")}</p></div>`;
}

function List({ methods, chosen }) {
  const wanted = filter.value.trim().toLowerCase();
  const found = [...methods.values()].filter((each) => each.name.toLowerCase().includes(wanted));
  const shown = found.slice(0, most.value);
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const type = (event) => filterMethods(event.currentTarget.value);
  return html`<nav class="list" aria-label=${t("view.methods")} ref=${place} onKeyDown=${(event) => move(event, place.current)}>
    <input type="search" id="filter" value=${filter.value} onInput=${type} placeholder=${t("methods.key")} aria-label=${t("methods.filter")}
      aria-keyshortcuts="/" autocomplete="off" spellcheck=${false} />
    <p class="visually-hidden" role="status">${t("methods.count", { count: found.length })}</p>
    <${Entries} methods=${shown.filter((each) => !isOwn(each))} chosen=${chosen} />
    ${shown.some(isOwn) && html`<h3>${t("methods.own")}</h3>`}
    <${Entries} methods=${shown.filter(isOwn)} chosen=${chosen} />
    ${wanted && found.length === 0 && html`<p class="hint">${t("methods.none")}</p>`}
    ${found.length > shown.length && html`<button type="button" class="quiet" onClick=${() => (most.value += STEP)}>
      ${t("methods.more", { shown: shown.length, count: found.length })}</button>`}
  </nav>`;
}

/** Whether a method is the protocol's, rather than the device's. */
function isOwn({ name }) {
  return name.startsWith("rpc.");
}

function Entries({ methods, chosen }) {
  return html`<ul>${methods.map((each) => html`<${Entry} key=${each.name} method=${each} isChosen=${each.name === chosen} />`)}</ul>`;
}

function Entry({ method: { name, summary, deprecated, effect }, isChosen }) {
  return html`<li><a href=${`#/methods/${uriPart(name)}`} aria-current=${isChosen ? "page" : null}
      class=${deprecated ? "deprecated" : null}>
    <span class="name">${name.slice(0, 200)}</span>${effect === "danger" && html`<span class="dot" role="img" aria-label=${t("effect.danger")} title=${t("effect.danger")}></span>`}
    ${summary && html`<span class="summary">${summary.slice(0, 120)}</span>`}
  </a></li>`;
}

/** The arrow keys go through the list; Enter in the filter opens what is first. */
function move(event, place) {
  const links = [...place.querySelectorAll("a")];
  const at = links.indexOf(document.activeElement);
  const next = { ArrowDown: links[at + 1], ArrowUp: links[at - 1] ?? place.querySelector("input") }[event.key];
  if (event.key === "Enter" && at < 0 && links[0]) location.hash = links[0].hash;
  else if (next) next.focus();
  else return;
  event.preventDefault();
}
