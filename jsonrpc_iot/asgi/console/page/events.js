/** Notifications as they come: the newest first, with a filter, drawn once a frame, held while somebody reads. */

import { Filter, matcher, numberText } from "./live.js";
import { parse } from "./messages.js";
import { jsonOf, pushedBy } from "./pushed.js";
import { html, useEffect, useMemo, useState } from "./vendor/ui.js";
import { tellWishes, useWish } from "./wishes.js";
import { t } from "./words.js";

const DRAWN = 100;
const SHOWN = 200_000; // characters of one that is open

/** Hear what comes before anybody looks. */
export function start({ link, device }) {
  pushedBy(link);
  tellWishes(link, device);
}

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
function Opened({ entry: { text, isWhole, params } }) {
  const isCut = !isWhole && params === undefined;
  const whole = useMemo(() => (isCut ? text : jsonOf(isWhole ? parse(text) : params, 2)), [text]);
  return html`<pre tabindex="0">${whole.slice(0, SHOWN)}</pre>
    ${(isCut || whole.length > SHOWN) && html`<p class="hint">${t("events.cut")}</p>`}`;
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

/**
 * The view of notifications.
 * @param {{link: import("./link.js").Link}} props
 */
export default function Events({ link }) {
  const pushed = pushedBy(link);
  const [filter, setFilter] = useState("");
  const [count, setCount] = useState(DRAWN);
  const [held, setHeld] = useState(/** @type {any} */ (null)); // what was there when somebody began to read
  const [open, setOpen] = useState(null);
  const [, draw] = useState(0);
  useEffect(() => pushed.hear(() => draw((turn) => turn + 1)), [pushed]);
  useWish(null);
  const rows = newest(held?.recent ?? pushed.recent, matcher(filter), count);
  const hold = () => setHeld((before) => before ?? { recent: [...pushed.recent], total: pushed.total });
  const release = () => (setHeld(null), setOpen(null), setCount(DRAWN));
  const read = (entry) => (hold(), setOpen(entry === open ? null : entry));
  return html`<section class="page" aria-labelledby="title">
    <div class="bar">
      <h2 id="title">${t("view.events")}</h2>
      <${Filter} label=${t("events.filter")} value=${filter} onChange=${setFilter} />
      <button type="button" aria-pressed=${!!held} onClick=${held ? release : hold}>${t(held ? "events.resume" : "events.pause")}</button>
      <button type="button" class="quiet" onClick=${() => (pushed.clear(), release())}>${t("events.clear")}</button>
      <p class="hint">${t("events.count", { count: numberText(pushed.total) })}
        ${pushed.forgotten > 0 && ` ${t("events.forgotten", { count: numberText(pushed.forgotten) })}`}
        ${held && html`<span class="held"> ${t("events.held", { count: pushed.total - held.total })}</span>`}</p>
    </div>
    <p class="visually-hidden" role="status">${held && t("events.paused")}</p>
    ${!rows.length && html`<p class="empty">${t(filter ? "events.nothing" : "events.none")}</p>`}
    <ol class="events rows">
      ${rows.map((entry) => html`<${Row} key=${entry.number} entry=${entry} isOpen=${entry === open} onOpen=${read} />`)}
    </ol>
    ${rows.length === count && html`<button type="button" onClick=${() => (hold(), setCount(count + DRAWN))}>${t("older")}</button>`}
  </section>`;
}
