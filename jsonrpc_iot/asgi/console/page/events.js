/** Notifications as they come: the newest first, with a filter, drawn once a frame, held while somebody reads. */

import { html, useEffect, useMemo, useRef, useState } from "./vendor/ui.js";
import { matcher, numberText } from "./live.js";
import { parse } from "./messages.js";
import { pushedBy } from "./pushed.js";
import { t } from "./words.js";

const DRAWN = 100;
const SHOWN = 200_000; // characters of one that is open

/** The newest of those that a filter means, and no more than so many. */
function newest(entries, matches, count) {
  const found = [];
  for (let place = entries.length - 1; place >= 0 && found.length < count; place--) {
    const { method, text } = entries[place];
    if (matches(method, text)) found.push(entries[place]);
  }
  return found;
}

function clock(at) {
  const day = new Date(at);
  return `${day.toTimeString().slice(0, 8)}.${String(day.getMilliseconds()).padStart(3, "0")}`;
}

/** All of a notification, as far as it is kept. */
function wholeText({ text, isWhole, params }) {
  if (isWhole) return JSON.stringify(parse(text), null, 2);
  return params === undefined ? text : JSON.stringify(params, null, 2);
}

function Opened({ entry }) {
  const text = useMemo(() => wholeText(entry), [entry]);
  const isCut = text.length > SHOWN || (!entry.isWhole && entry.params === undefined);
  return html`<div class="opened">
    <button type="button" class="quiet" onClick=${() => navigator.clipboard?.writeText(text)}>${t("events.copy")}</button>
    <pre tabindex="0">${text.slice(0, SHOWN)}</pre>
    ${isCut && html`<p class="hint">${t("events.cut")}</p>`}
  </div>`;
}

function Row({ entry, isOpen, onOpen }) {
  return html`<li>
    <button type="button" class="event" aria-expanded=${isOpen} onClick=${() => onOpen(entry)}>
      <time>${clock(entry.at)}</time><bdi class="name">${entry.method}</bdi>
      <bdi class="brief">${entry.text.slice(0, 300)}</bdi>
    </button>
    ${isOpen && html`<${Opened} entry=${entry} />`}
  </li>`;
}

/** How many come in a second, counted over the last two. */
function useRate(pushed) {
  const before = useRef(pushed.total);
  const [rate, setRate] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => {
      setRate((pushed.total - before.current) / 2);
      before.current = pushed.total;
    }, 2000);
    return () => clearInterval(timer);
  }, [pushed]);
  return rate;
}

/** Hear what comes before anybody looks. */
export function start({ link }) {
  pushedBy(link);
}

/**
 * The view of notifications.
 * @param {{link: import("./link.js").Link}} props
 */
export default function Events({ link }) {
  const pushed = pushedBy(link);
  const [filter, setFilter] = useState("");
  const [count, setCount] = useState(DRAWN);
  const [held, setHeld] = useState(null); // what was there when somebody began to read
  const [open, setOpen] = useState(null);
  const [, draw] = useState(0);
  useEffect(() => pushed.hear(() => draw((turn) => turn + 1)), [pushed]);
  const rate = useRate(pushed);
  const entries = held?.entries ?? pushed.recent;
  const rows = newest(entries, matcher(filter), count);
  const hold = () => setHeld((before) => before ?? { entries: [...pushed.recent], total: pushed.total });
  const read = (entry) => (hold(), setOpen(entry === open ? null : entry));
  const release = () => (setHeld(null), setOpen(null), setCount(DRAWN));
  return html`<section class="page" aria-labelledby="events-title">
    <div class="bar">
      <h2 id="events-title">${t("view.events")}</h2>
      <input type="search" placeholder=${t("events.filter")} aria-label=${t("events.filter")} value=${filter}
        onInput=${(event) => setFilter(event.target.value)} />
      <button type="button" aria-pressed=${!!held} onClick=${held ? release : hold}>
        ${held ? t("events.resume") : t("events.pause")}</button>
      <button type="button" class="quiet" onClick=${() => (pushed.clear(), release())}>${t("events.clear")}</button>
      <p class="hint">
        ${t("events.count", { count: numberText(pushed.total), rate: numberText(rate) })}
        ${pushed.forgotten > 0 && ` · ${t("events.forgotten", { count: numberText(pushed.forgotten) })}`}
      </p>
    </div>
    <p class="visually-hidden" role="status">${held ? t("events.paused") : ""}</p>
    ${held && html`<p class="held">${t("events.held", { count: numberText(pushed.total - held.total) })}</p>`}
    ${rows.length === 0 && html`<p class="empty">${t(filter ? "events.nothing" : "events.none")}</p>`}
    <ol class="events" aria-label=${t("view.events")}>
      ${rows.map((entry) => html`<${Row} key=${entry.number} entry=${entry} isOpen=${entry === open} onOpen=${read} />`)}
    </ol>
    ${rows.length === count && html`<button type="button" onClick=${() => (hold(), setCount(count + DRAWN))}>
      ${t("events.older")}</button>`}
  </section>`;
}
