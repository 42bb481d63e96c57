/** What a device has reported, as a plot: over which time, of which sensors, each value or groups of them. */

import { html, useEffect, useMemo, useState } from "../vendor/ui.js";
import { Chart, Legend, Table } from "../chart.js";
import { numberText, timeText, useEvery, usePushes, useSeldom } from "../live.js";
import { t } from "../words.js";
import { Problem } from "./shared.js";

const RANGES = [900, 3600, 21_600, 86_400, 604_800, 2_592_000, 31_557_600]; // seconds
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800];
const GROUPS = 300; // of one sensor
const AGGREGATES = ["mean", "min", "max", "sum", "first", "last", "count"];
const PAGES = 10; // of single values, a thousand each
const FRESH = 2000; // milliseconds between two questions while values come
const CHOSEN = 4; // sensors at first
const LISTED = 100; // values in the table

/**
 * The points of several sensors as columns beside their times. Where one was silent for too long its line is broken.
 * @param {{timestamp: number, value: unknown, value_key: string}[]} points
 * @param {string[]} keys
 * @param {number | null} interval seconds of a group; null for single values, whose usual distance decides.
 * @returns {any[]} times, and for each key its values: null breaks a line, undefined does not.
 */
export function columnsOf(points, keys, interval) {
  const runs = new Map(keys.map((key) => [key, []]));
  for (const { timestamp, value, value_key: key } of points) {
    const number = typeof value === "boolean" ? Number(value) : value;
    if (typeof number === "number") runs.get(key)?.push([timestamp, number]);
  }
  const rows = new Map();
  keys.forEach((key, number) => {
    const run = runs.get(key).sort(([one], [other]) => one - other);
    const longest = interval ? interval * 1.5 : usualPause(run) * 5;
    run.forEach(([at, value], place) => {
      rowAt(rows, at)[number] = value;
      if (run[place + 1]?.[0] - at > longest) rowAt(rows, at + longest / 2)[number] ??= null;
    });
  });
  const times = [...rows.keys()].sort((one, other) => one - other);
  return [times, ...keys.map((_, number) => times.map((at) => rows.get(at)[number]))];
}

function rowAt(rows, at) {
  if (!rows.has(at)) rows.set(at, []);
  return rows.get(at);
}

/** The median of the pauses between values; at least a second. */
function usualPause(run) {
  const pauses = run.slice(1).map(([at], place) => at - run[place][0]).sort((one, other) => one - other);
  return Math.max(1, pauses[pauses.length >> 1] ?? Infinity);
}

/** Ask for what is to be seen; `isCut` where there is more than is shown. */
async function ask(link, { id, keys, start, end, interval, aggregate }, signal) {
  const options = { signal, timeout: 60 };
  if (interval) {
    const offset = -new Date(end * 1000).getTimezoneOffset() * 60;
    const params = { device_id: id, value_key: keys, start, end, interval, aggregate, offset, limit: 100_000 };
    return { points: await link.call("telemetry.query", params, options), isCut: false };
  }
  const points = [];
  let cursor = null;
  for (let page = 0; page < PAGES; page++) {
    const params = { device_id: id, value_keys: keys, start, end, order: "desc", limit: 1000, cursor };
    const result = await link.call("telemetry.page", params, options);
    points.push(...result.points);
    cursor = result.next;
    if (cursor === null) break;
  }
  return { points, isCut: cursor !== null };
}

/** The points of a question; those of the one before as long as the next are not there. */
function usePoints(link, question) {
  const [found, setFound] = useState({ points: [], isCut: false, failure: null, question: null });
  const isOpen = link.state.value === "open";
  useEffect(() => {
    if (!isOpen) return;
    if (!question.keys.length) return setFound({ points: [], isCut: false, failure: null, question });
    const abort = new AbortController();
    ask(link, question, abort.signal).then(
      (answer) => abort.signal.aborted || setFound({ ...answer, failure: null, question }),
      (failure) => abort.signal.aborted || setFound((before) => ({ ...before, failure })),
    );
    return () => abort.abort();
  }, [link, isOpen, JSON.stringify(question)]);
  return found;
}

function Choices({ range, aggregate, isNow, onChange }) {
  const choose = (event) => onChange({ [event.target.name]: event.target.value });
  return html`<div class="bar" onChange=${choose}>
    <h3 id="telemetry-title">${t("telemetry")}</h3>
    <select name="range" aria-label=${t("telemetry.range")} value=${range}>
      ${RANGES.map((each) => html`<option key=${each} value=${each}>${t(`range.${each}`)}</option>`)}
    </select>
    <select name="aggregate" aria-label=${t("telemetry.aggregate")} value=${aggregate}>
      ${AGGREGATES.map((each) => html`<option key=${each} value=${each}>${t(`aggregate.${each}`)}</option>`)}
      <option value="">${t("aggregate.none")}</option>
    </select>
    <button type="button" onClick=${() => onChange({ step: -1 })}>${t("telemetry.earlier")}</button>
    <button type="button" disabled=${isNow} onClick=${() => onChange({ step: 1 })}>${t("telemetry.later")}</button>
  </div>`;
}

/** Which time is looked at, and how; it goes on with the clock until somebody looks at an earlier one. */
function useTime(link) {
  const [chosen, setChosen] = useState({ range: 3600, aggregate: "mean", back: 0 });
  const [now, setNow] = useState(() => Date.now() / 1000);
  const tick = () => setNow(Date.now() / 1000);
  useEffect(tick, [link.state.value]);
  useEvery(tick, 30_000);
  const change = ({ step = 0, ...other }) => {
    const next = { ...chosen, ...other };
    const range = Number(next.range);
    const back = range === chosen.range ? Math.max(0, chosen.back - step) : 0;
    setChosen({ ...next, range, back });
  };
  const end = now - (chosen.back * chosen.range) / 2;
  const interval = chosen.aggregate ? STEPS.find((each) => each * GROUPS >= chosen.range) : null;
  return { ...chosen, end, start: end - chosen.range, interval, change, tick };
}

/**
 * The plot of a device's telemetry.
 * @param {{link: import("../link.js").Link, id: string, sensors: {value_key: string, type: string, unit?: string}[]}} props
 */
export function Telemetry({ link, id, sensors }) {
  const kinds = sensors.filter(({ type }) => type === "number" || type === "boolean");
  const labels = JSON.stringify(kinds.map(({ value_key: key, unit }) => [key, unit]));
  const series = useMemo(
    () => kinds.map(({ value_key: label, unit }) => ({ label, unit, scale: unit || "y" })),
    [labels],
  );
  const [chosen, setHidden] = useState(null);
  const hidden = useMemo(
    () => chosen ?? new Set(series.slice(CHOSEN).map(({ label }) => label)),
    [chosen, series],
  );
  const { range, aggregate, back, start, end, interval, change, tick } = useTime(link);
  const fresh = useSeldom(tick, FRESH);
  usePushes(link, (method, params) => method === "telemetry" && params.device_id === id && back === 0 && fresh());
  const keys = series.map(({ label }) => label).filter((label) => !hidden.has(label));
  const { points, isCut, failure, question } = usePoints(link, { id, keys, start, end, interval, aggregate });
  const every = series.map(({ label }) => label);
  const data = useMemo(() => columnsOf(points, every, question?.interval ?? null), [points, labels]);
  const [point, setPoint] = useState(null);
  const known = data.slice(1).map((values) => values.filter((each) => typeof each === "number"));
  const values = known.map((each, number) => (point === null ? each.at(-1) : data[number + 1][point]));
  const facts = every.map((label, number) => [label, ...factsOf(known[number])]).filter(([label]) => !hidden.has(label));
  const told = facts.map(([label, last]) => `${label} ${numberText(last)}`).join(", ");
  return html`<section class="card" aria-labelledby="telemetry-title">
    <${Choices} range=${range} aggregate=${aggregate} isNow=${back === 0} onChange=${change} />
    <${Problem} failure=${failure} />
    ${kinds.length === 0 && html`<p class="empty">${t("telemetry.none")}</p>`}
    <${Legend} series=${series} values=${values} hidden=${hidden} onChange=${setHidden} />
    ${kinds.length > 0 && html`<${Chart} series=${series} hidden=${hidden} data=${data} onPoint=${setPoint}
      range=${question && [question.start, question.end]} description=${`${t("telemetry")}: ${told}`} />`}
    <p class="hint">${interval ? t("telemetry.groups", { seconds: numberText(interval) }) : ""}
      ${isCut && t("telemetry.cut", { count: numberText(points.length) })}</p>
    <${Table} title=${t("plots.text")} heads=${["field", "last", "least", "most"].map((each) => t(`plots.${each}`))}
      rows=${facts} />
    <${Table} title=${t("telemetry.points", { count: LISTED })} heads=${[t("time"), ...keys]}
      rows=${() => rowsOf(data, every, keys)} />
  </section>`;
}

function factsOf(numbers) {
  if (!numbers.length) return [null, null, null];
  const least = numbers.reduce((one, other) => Math.min(one, other));
  return [numbers.at(-1), least, numbers.reduce((one, other) => Math.max(one, other))];
}

/** The newest values of the sensors that are shown, as a table has them. */
function rowsOf([times, ...columns], every, keys) {
  const shown = keys.map((key) => columns[every.indexOf(key)]);
  const rows = times.map((at, place) => [timeText(at), ...shown.map((values) => values[place])]);
  return rows.filter((row) => row.slice(1).some((each) => typeof each === "number")).slice(-LISTED).reverse();
}
