/** What a device has reported, as a plot: over which time, of which sensors, each value or groups of them. */

import { Plot } from "../chart.js";
import { numberText, unitText, useEvery, usePushes, useSeldom } from "../live.js";
import { html, useEffect, useMemo, useRef, useState } from "../vendor/ui.js";
import { t } from "../words.js";
import { columnsOf } from "./columns.js";
import { Problem } from "./shared.js";

/** @type {[number, string, number][]} how many of which unit, and its seconds */
const RANGES = [[15, "minute", 60], [1, "hour", 3600], [6, "hour", 3600], [1, "day", 86_400], [7, "day", 86_400], [30, "day", 86_400], [1, "year", 31_557_600]];
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800];
const GROUPS = 300; // of one sensor
const AGGREGATES = ["mean", "min", "max", "sum", "first", "last", "count", ""];
const PAGES = 10; // of single values, a thousand each
const FRESH = 2000; // milliseconds between two questions while values come
const CHOSEN = 4; // sensors at first

/** Ask for what is to be seen; `isCut` where there is more than is shown. */
async function ask(link, { id, keys, start, end, interval, aggregate }, signal) {
  const options = { signal, timeout: 60 };
  const asked = { device_id: id, start, end };
  if (!keys.length) return { points: [] };
  if (interval) {
    const offset = -new Date(end * 1000).getTimezoneOffset() * 60;
    const params = { ...asked, value_key: keys, interval, aggregate, offset, limit: 100_000 };
    return { points: await link.call("telemetry.query", params, options) };
  }
  const points = [];
  let cursor = null;
  for (let page = 0; page < PAGES; page++) {
    const params = { ...asked, value_keys: keys, order: "desc", limit: 1000, cursor };
    const result = await link.call("telemetry.page", params, options);
    points.push(...result.points);
    cursor = result.next;
    if (cursor === null) break;
  }
  return { points, isCut: cursor !== null };
}

/** The points of a question; those of the one before as long as the next are not there. */
function usePoints(link, question) {
  const [found, setFound] = useState(/** @type {any} */ ({ points: [] }));
  const isOpen = link.state.value === "open";
  useEffect(() => {
    if (!isOpen) return undefined;
    const abort = new AbortController();
    const settle = (answer) => abort.signal.aborted || setFound((before) => ({ ...before, ...answer }));
    ask(link, question, abort.signal).then(
      (answer) => settle({ isCut: false, failure: null, question, settled: question.end, ...answer }),
      (failure) => settle({ failure: failure.kind === "lost" ? null : failure, settled: question.end }),
    );
    return () => abort.abort();
  }, [link, isOpen, JSON.stringify(question)]);
  return found;
}

function Choices({ chosen: { length, aggregate, back }, onChange }) {
  const choose = (event) => onChange({ [event.target.name]: event.target.value, back: 0 });
  return html`<div class="bar">
    <h3 id="telemetry">${t("telemetry")}</h3>
    <select name="length" aria-label=${t("telemetry.range")} value=${length} onChange=${choose}>
      ${RANGES.map(([count, unit, size]) => html`<option key=${count * size} value=${count * size}>${unitText(count, unit)}</option>`)}
    </select>
    <select name="aggregate" aria-label=${t("telemetry.aggregate")} value=${aggregate} onChange=${choose}>
      ${AGGREGATES.map((each) => html`<option key=${each} value=${each}>${t(`aggregate.${each}`)}</option>`)}
    </select>
    <button type="button" onClick=${() => onChange({ back: back + 1 })}>${t("telemetry.earlier")}</button>
    <button type="button" disabled=${!back} onClick=${() => onChange({ back: back - 1 })}>${t("telemetry.later")}</button>
  </div>`;
}

/**
 * The plot of a device's telemetry. It goes on with the clock until somebody looks at an earlier time.
 * @param {{link: import("../link.js").Link, id: string, sensors: {value_key: string, type: string, unit?: string}[]}} props
 */
export function Telemetry({ link, id, sensors }) {
  const kinds = sensors.filter(({ type }) => type === "number" || type === "boolean");
  const series = useMemo(
    () => kinds.map(({ value_key: label, unit }) => ({ label, unit, scale: unit ?? "" })),
    [JSON.stringify(kinds)],
  );
  const [hidden, setHidden] = useState(new Set(series.slice(CHOSEN).map(({ label }) => label)));
  const [chosen, choose] = useState({ length: "3600", aggregate: "mean", back: 0 });
  const [now, setNow] = useState(Date.now() / 1000);
  const length = Number(chosen.length);
  const end = now - (chosen.back * length) / 2;
  const interval = chosen.aggregate ? (STEPS.find((each) => each * GROUPS >= length) ?? 604_800) : null;
  const every = series.map(({ label }) => label);
  const keys = every.filter((label) => !hidden.has(label));
  const question = { id, keys, start: end - length, end, interval, aggregate: chosen.aggregate };
  const { points, isCut, failure, question: asked, settled } = usePoints(link, question);
  const isDue = useRef(false);
  const tick = () => {
    isDue.current = settled !== end; // what is under way is waited for
    if (!isDue.current) setNow(Date.now() / 1000);
  };
  const fresh = useSeldom(tick, FRESH);
  useEffect(() => void (isDue.current && tick()), [settled]);
  useEffect(() => setNow(Date.now() / 1000), [link.state.value]);
  useEvery(tick, 30_000);
  usePushes(link, (method, params) => method === "telemetry" && params.device_id === id && !chosen.back && fresh());
  const data = useMemo(() => {
    const columns = columnsOf(points, every, asked?.interval ?? null);
    return () => columns;
  }, [points, series]);
  if (!kinds.length) return null;
  return html`<section class="card" aria-labelledby="telemetry">
    <${Choices} chosen=${chosen} onChange=${(change) => choose({ ...chosen, ...change })} />
    <${Problem} failure=${failure} />
    <${Plot} name=${t("telemetry")} series=${series} hidden=${hidden} onHide=${setHidden} data=${data}
      range=${asked && [asked.start, asked.end]} />
    <p class="hint">${interval && t("telemetry.groups", { time: unitText(interval, "second") })}
      ${isCut && t("telemetry.cut", { count: numberText(points.length) })}</p>
  </section>`;
}
