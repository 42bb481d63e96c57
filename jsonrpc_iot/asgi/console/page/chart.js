/** Plots, with a legend of buttons that shows the values and says which lines are drawn. */

import { html, signal, useEffect, useRef, useState } from "./vendor/ui.js";
import { numberText } from "./live.js";
import { FOLDER } from "./session.js";
import { language, t } from "./words.js";

const HEIGHT = 220;
const COLOURS = 8;

const darkness = matchMedia("(prefers-color-scheme: dark)");
const isDark = signal(darkness.matches);
darkness.addEventListener("change", () => (isDark.value = darkness.matches));

let library;

/** The library for plots, once somebody wants to see one. */
function plots() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("vendor/plot.css", FOLDER).href;
  library ??= (document.head.append(style), import("./vendor/plot.js").then((module) => module.default));
  return library;
}

/** The names of times on an axis, by the 24-hour clock; a day stands where it begins. */
function timesOfAxis(_plot, times, _axis, _space, step) {
  const write = (options) => (at) => at.toLocaleString(language.value, { hourCycle: "h23", ...options });
  const day = write({ month: "short", day: "numeric" });
  const clock = write({ hour: "2-digit", minute: "2-digit", ...(step < 60 && { second: "2-digit" }), ...(step < 1 && { fractionalSecondDigits: 2 }) });
  return times.map((at) => new Date(at * 1000)).map((at) => {
    const isMidnight = at.getHours() + at.getMinutes() + at.getSeconds() === 0;
    return step >= 86_400 || isMidnight ? day(at) : clock(at);
  });
}

function axesOf(scales, colour) {
  const line = { stroke: colour("--muted"), ticks: { show: false } };
  const grid = { stroke: colour("--line"), width: 1 };
  const values = (_plot, numbers) => numbers.map(numberText);
  const sides = scales.slice(0, 2).map((scale, number) => {
    return { ...line, scale, side: number ? 1 : 3, size: 56, grid: number ? { show: false } : grid, values };
  });
  return [{ ...line, grid, values: timesOfAxis, space: 90, size: 30 }, ...sides];
}

/** How a plot is made; `seen` has what may change while it lives. */
function optionsOf(place, series, seen) {
  const colour = (name) => {
    place.style.color = `var(${name})`;
    return getComputedStyle(place).color;
  };
  const lines = series.map(({ label, scale = "y" }, number) => ({
    label,
    scale,
    stroke: colour(`--series-${number % COLOURS}`),
    dash: number < COLOURS ? undefined : [6, 3],
    width: 1.5,
    points: { size: 4 },
  }));
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false }, points: { size: 6 } },
    scales: { x: { time: true, range: (_plot, least, most) => seen.range ?? [least, most] } },
    axes: axesOf([...new Set(lines.map((each) => each.scale))], colour),
    series: [{}, ...lines],
    hooks: {
      setCursor: [(plot) => seen.onPoint?.(plot.cursor.idx ?? null)],
      setSelect: [(plot) => (seen.isZoomed = plot.select.width > 0)],
    },
  };
}

/**
 * A plot of several series over time.
 * @param {{
 *   series: {label: string, scale?: string}[],
 *   hidden: Set<string>,
 *   data: any[] | (() => any[]),
 *   hear?: (draw: () => void) => () => void,
 *   range?: [number, number],
 *   description: string,
 *   onPoint?: (index: number | null) => void,
 * }} props `hidden` has labels; `data` are the times and the values of each series, or give them when `hear` calls;
 *   `range` is the time that is shown, in Unix seconds, all by default; `description` is for who cannot see it;
 *   `onPoint` is told at which time the pointer is.
 */
export function Chart({ series, hidden, data, hear, range, description, onPoint }) {
  const place = useRef(null);
  const plot = useRef(null);
  const seen = useRef({ isZoomed: false }).current;
  Object.assign(seen, { data, range, onPoint });
  const draw = () => plot.current && isSeen(place.current) && redraw(plot.current, seen);
  useEffect(() => {
    let isOver = false;
    const element = place.current;
    plots().then((Plot) => {
      if (isOver) return;
      plot.current = new Plot(optionsOf(element, series, seen), dataOf(seen), element);
      show(plot.current, series, hidden);
    });
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    sizes.observe(element);
    const end = hear?.(draw);
    return () => {
      isOver = true;
      end?.();
      sizes.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [series, isDark.value, language.value]);
  useEffect(() => plot.current && show(plot.current, series, hidden), [hidden]);
  useEffect(() => void (hear || draw()), [data]);
  const whole = () => (seen.isZoomed = false);
  return html`<div class="chart" ref=${place} role="img" aria-label=${description} onDblClickCapture=${whole}></div>`;
}

function dataOf({ data }) {
  return typeof data === "function" ? data() : data;
}

function isSeen(place) {
  const { top, bottom } = place.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

function redraw(plot, seen) {
  plot.setData(dataOf(seen), !seen.isZoomed);
  if (seen.isZoomed) plot.redraw();
}

function show(plot, series, hidden) {
  series.forEach(({ label }, number) => {
    const isShown = !hidden.has(label);
    if (plot.series[number + 1]?.show !== isShown) plot.setSeries(number + 1, { show: isShown });
  });
}

/**
 * The legend of a plot: buttons that show and hide the lines.
 * @param {{series: {label: string, unit?: string}[], values: unknown[], hidden: Set<string>,
 *   onChange: (hidden: Set<string>) => void}} props
 */
export function Legend({ series, values, hidden, onChange }) {
  const toggle = (label) => {
    const next = new Set(hidden);
    if (!next.delete(label)) next.add(label);
    onChange(next);
  };
  return html`<ul class="legend" aria-label=${t("plots.legend")}>
    ${series.map(
      ({ label, unit }, number) => html`<li key=${label}>
        <button type="button" class="key key-${number % COLOURS}" aria-pressed=${!hidden.has(label)}
          onClick=${() => toggle(label)}>
          <bdi>${label}</bdi> <b>${numberText(values[number])}</b>${unit ? html` <bdi>${unit}</bdi>` : ""}
        </button>
      </li>`,
    )}
  </ul>`;
}

/**
 * The same as text, once somebody opens it.
 * @param {{title: string, heads: string[], rows: unknown[][] | (() => unknown[][])}} props
 */
export function Table({ title, heads, rows }) {
  const [isOpen, setOpen] = useState(false);
  const told = isOpen ? (typeof rows === "function" ? rows() : rows) : [];
  return html`<details class="values" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>${title}</summary>
    <table>
      <thead><tr>${heads.map((each) => html`<th scope="col"><bdi>${each}</bdi></th>`)}</tr></thead>
      <tbody>${told.map(
        ([head, ...values]) => html`<tr key=${head}>
          <th scope="row"><bdi>${head}</bdi></th>${values.map((each) => html`<td>${numberText(each)}</td>`)}
        </tr>`,
      )}</tbody>
    </table>
  </details>`;
}
