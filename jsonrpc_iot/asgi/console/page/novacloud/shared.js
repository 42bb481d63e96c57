/** What the views of a NovaCloud platform share. */

import { html, useEffect, useRef, useState } from "../vendor/ui.js";
import { Ago, numberText, useAnswer, usePushes, useSeldom } from "../live.js";
import { uriPart } from "../messages.js";
import { brief } from "../pushed.js";
import { addWords, t } from "../words.js";
import english from "./words-en.js";
import chinese from "./words-zh.js";

addWords(english, chinese);

/**
 * @typedef {object} ViewProps
 * @property {import("../link.js").Link} link
 * @property {import("../device.js").Device} device the platform.
 * @property {string[]} path
 */

const ROWS = 25; // of a page
const MOST_KNOWN = 600;
const AT_ONCE = 6; // calls for the rows of a page
const BEAT = 250; // milliseconds between two drawings of values that are pushed

/**
 * The methods that a platform has for whoever asks.
 * @param {import("../device.js").Device} device
 * @returns {Map<string, any>}
 */
export function methodsOf(device) {
  return device.description.value?.methods ?? new Map();
}

/**
 * Ask the same of some devices, a few at a time; again when the link has come back.
 * @param {import("../link.js").Link} link
 * @param {string} method
 * @param {string[]} ids
 * @param {(id: string, result: any) => void} take
 */
export function useEach(link, method, ids, take) {
  const isOpen = link.state.value === "open";
  useEffect(() => {
    if (!isOpen) return;
    const left = [...ids];
    const worker = async () => {
      for (let id = left.shift(); id !== undefined; id = left.shift()) {
        await link.call(method, { device_id: id }, { timeout: 30 }).then((result) => take(id, result), () => {});
      }
    };
    for (let number = 0; number < AT_ONCE; number++) worker();
    return () => left.splice(0);
  }, [link, isOpen, method, ids.join()]);
}

/**
 * The latest values of some devices, as they come.
 * @param {import("../link.js").Link} link
 * @param {string[]} ids
 * @returns {Map<string, Map<string, {timestamp: number, value: unknown}>>} by device and key.
 */
export function useLatest(link, ids) {
  const known = useRef(new Map());
  const [, draw] = useState(0);
  const seldom = useSeldom(() => draw((turn) => turn + 1), BEAT);
  const note = (id, entries) => {
    const values = new Map(known.current.get(id));
    for (const [key, point] of entries) {
      if (!(values.get(key)?.timestamp > point.timestamp)) values.set(key, point);
    }
    known.current.set(id, values);
    seldom();
  };
  useEach(link, "telemetry.latest", ids, (id, latest) => note(id, Object.entries(latest)));
  usePushes(link, (method, { device_id: id, timestamp, values }) => {
    if (method !== "telemetry" || !ids.includes(id)) return;
    note(id, Object.entries(values).map(([key, value]) => [key, { timestamp, value }]));
  });
  for (const id of known.current.keys()) if (!ids.includes(id)) known.current.delete(id);
  return known.current;
}

/**
 * What is known of the devices of some rows, as far as there are such devices.
 * @param {import("../link.js").Link} link
 * @param {{device_id: string}[]} rows
 * @returns {Map<string, any>}
 */
export function useDevices(link, rows) {
  const [known, setKnown] = useState(new Map());
  const ids = [...new Set(rows.map((each) => each.device_id))];
  const take = (id, device) => setKnown((before) => new Map([...before].slice(1 - MOST_KNOWN)).set(id, device));
  useEach(link, "device.get", ids, take);
  return known;
}

/**
 * A list that is told in pages.
 * @param {import("../link.js").Link} link
 * @param {string} method
 * @param {object} params
 * @param {(page: any) => void} [take] gets each page.
 * @returns {ReturnType<typeof useAnswer> & {pager: unknown}} `pager` has the buttons.
 */
export function usePages(link, method, params, take) {
  const told = JSON.stringify(params);
  const [place, setPlace] = useState({ told, cursors: [null] });
  const cursors = place.told === told ? place.cursors : [null];
  const answer = useAnswer(link, method, { ...params, limit: ROWS, cursor: cursors.at(-1) }, take);
  const next = answer.isCurrent ? answer.result?.next : null;
  const go = (chosen) => setPlace({ told, cursors: chosen });
  const isOne = cursors.length === 1 && !next;
  const pager = !isOne && html`<nav class="pager" aria-label=${t("pages")}>
    <button type="button" disabled=${cursors.length === 1} onClick=${() => go(cursors.slice(0, -1))}>${t("pages.back")}</button>
    <span aria-live="polite">${cursors.length}</span>
    <button type="button" disabled=${!next} onClick=${() => go([...cursors, next])}>${t("pages.next")}</button>
  </nav>`;
  return { ...answer, pager };
}

/** A device's name, which leads to it. */
export function DeviceLink({ id, name }) {
  return html`<a class="name" href=${`#/devices/${uriPart(id)}`}><bdi>${name ?? id}</bdi></a>`;
}

/**
 * A value as text, cut where it is long.
 * @param {unknown} value
 * @param {number} [room] characters.
 */
export function textOf(value, room = 200) {
  if (typeof value === "number") return numberText(value);
  const { text, isWhole } = typeof value === "string" ? cut(value, room) : brief(value ?? null, room);
  return isWhole ? text : `${text}…`;
}

function cut(text, room) {
  return { text: text.slice(0, room), isWhole: text.length <= room };
}

/** Whether a device is there; `seen` is when it was there last. */
export function Presence({ device, seen }) {
  const { online, enabled } = device ?? {};
  return html`<span class="presence" data-online=${online}>
    ${device && t(online ? "online" : enabled === false ? "disabled" : "offline")}${!online && seen && html` · <${Ago} at=${seen} />`}
  </span>`;
}

/** Short texts beside each other. */
export function Tags({ tags }) {
  return html`<span class="tags">${tags?.map((each) => html`<bdi key=${each}>${each}</bdi>`)}</span>`;
}

/** What went wrong with a call, where it was one. */
export function Problem({ failure }) {
  return failure && html`<p class="trouble" role="alert">${failure.message}</p>`;
}
