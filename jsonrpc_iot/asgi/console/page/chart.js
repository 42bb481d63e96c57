/** Plots: their lines, a legend of buttons that has the values and says which lines are drawn, and all that as text. */

import { numberText } from "./live.js";
import { html, signal, useEffect, useMemo, useRef, useState } from "./vendor/ui.js";
import { language, t } from "./words.js";

const HEIGHT = 220;

const darkness = matchMedia("(prefers-color-scheme: dark)");
const isDark = signal(darkness.matches);
darkness.addEventListener("change", () => (isDark.value = darkness.matches));

/** @type {Promise<any> | undefined} */
let library;

/** The library for plots, once somebody wants to see one. */
function plots() {
  return (library ??= import("./vendor/plot.js").then((module) => module.default));
}

/** The colour of a line: neighbours are far apart on the circle of colours. */
function hueOf(number) {
  return { "--hue": 255 + number * 137.5 };
}

/** The names of times on an axis, by the 24-hour clock; a day stands where it begins. */
function timesOfAxis(_plot, times, _axis, _space, step) {
  const write = (options) => (at) => at.toLocaleString(language.value, { hourCycle: "h23", ...options });
  const day = write({ month: "short", day: "numeric" });
  const clock = write({
    hour: "2-digit",
    minute: "2-digit",
    second: step < 60 ? "2-digit" : undefined,
    fractionalSecondDigits: step < 1 ? 2 : undefined,
  });
  return times.map((at) => new Date(at * 1000)).map((at) => {
    const isMidnight = at.getHours() + at.getMinutes() + at.getSeconds() === 0;
    return step >= 86_400 || isMidnight ? day(at) : clock(at);
  });
}

/** The time that is shown of some times; a single one stands in the middle of a minute. */
function rangeOf([first, second], least, most) {
  return first !== undefined && second === undefined ? [first - 30, first + 30] : [least, Math.max(most, least + 1)];
}

/** How a plot is made; `seen` has what may change while it lives. */
function optionsOf(place, series, seen) {
  const colour = (name, style = {}) => {
    for (const each of Object.entries(style)) place.style.setProperty(...each);
    place.style.color = `var(${name})`;
    return getComputedStyle(place).color;
  };
  const line = { stroke: colour("--muted"), ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
  const values = (_plot, numbers) => numbers.map(numberText);
  const scales = [...new Set(series.map((each) => each.scale))].slice(0, 2);
  return {
    width: place.clientWidth,
    height: HEIGHT,
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { range: (plot, least, most) => seen.range ?? rangeOf(plot.data[0], least, most) } },
    axes: [
      { ...line, values: timesOfAxis, space: 90, size: 30 },
      ...scales.map((scale, place) => ({ ...line, scale, values, size: 56, ...(place && { side: 1, grid: { show: false } }) })),
    ],
    series: [
      {},
      ...series.map(({ scale }, number) => ({ scale, stroke: colour("--stroke", hueOf(number)), width: 1.5, points: { size: 4 } })),
    ],
    hooks: {
      setCursor: [(plot) => seen.onPoint(plot.cursor.idx ?? null)],
      setSelect: [(plot) => (seen.isZoomed = plot.select.width > 0)],
    },
  };
}

function Lines({ series, hidden, data, hear, range, description, onPoint }) {
  const place = useRef(/** @type {any} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const seen = useRef(/** @type {any} */ ({})).current;
  Object.assign(seen, { data, range, onPoint });
  const draw = () => {
    if (!plot.current || !seen.isVisible) return;
    plot.current.setData(seen.data(), !seen.isZoomed);
    if (seen.isZoomed) plot.current.redraw();
  };
  const show = () => series.forEach((each, number) => plot.current?.setSeries(number + 1, { show: !hidden.has(each.label) }));
  useEffect(() => {
    let isOver = false;
    const element = place.current;
    plots().then((Plot) => {
      if (isOver) return;
      plot.current = new Plot(optionsOf(element, series, seen), seen.data(), element);
      show();
    });
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    sizes.observe(element);
    const sight = new IntersectionObserver(([{ isIntersecting }]) => {
      seen.isVisible = isIntersecting;
      draw();
    });
    sight.observe(element);
    const end = hear?.(draw);
    return () => {
      isOver = true;
      end?.();
      sizes.disconnect();
      sight.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [series, isDark.value, language.value]);
  useEffect(show, [hidden]);
  useEffect(() => void (hear || draw()), [data]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${description}
    onDblClickCapture=${() => (seen.isZoomed = false)}></div>`;
}

/** The last, the least and the greatest of some values. */
function factsOf(values) {
  let [last, least, most] = /** @type {(number | undefined)[]} */ ([]);
  for (const each of values) {
    if (typeof each !== "number") continue;
    last = each;
    least = Math.min(each, least ?? each);
    most = Math.max(each, most ?? each);
  }
  return [last, least, most];
}

/**
 * A plot of several series over time, with its legend, and as text.
 * @param {{
 *   name: string,
 *   series: {label: string, scale: string, unit?: string}[],
 *   hidden: Set<string>,
 *   onHide: (hidden: Set<string>) => void,
 *   data: () => any[],
 *   hear?: (draw: () => void) => () => void,
 *   range?: [number, number],
 * }} props `hidden` has labels; `data` gives the times and the values of each series, again when `hear` calls;
 *   `range` is the time that is shown, in Unix seconds, all by default.
 */
export function Plot({ name, series, hidden, onHide, data, hear, range }) {
  const [point, setPoint] = useState(/** @type {number | null} */ (null));
  const columns = data().slice(1);
  const facts = useMemo(() => columns.map(factsOf), [data]);
  const toggle = (label) => {
    const next = new Set(hidden);
    if (!next.delete(label)) next.add(label);
    onHide(next);
  };
  const told = series.map(({ label }, number) => `${label} ${numberText(facts[number]?.[0])}`);
  return html`
    <ul class="legend" aria-label=${t("plots.legend")}>
      ${series.map(
        ({ label, unit }, number) => html`<li key=${label}>
          <button type="button" class="key" style=${hueOf(number)} aria-pressed=${!hidden.has(label)} onClick=${() => toggle(label)}>
            <bdi>${label}</bdi> <b>${numberText(point === null ? facts[number]?.[0] : columns[number]?.[point])}</b> ${unit}
          </button>
        </li>`,
      )}
    </ul>
    <${Lines} series=${series} hidden=${hidden} data=${data} hear=${hear} range=${range} onPoint=${setPoint}
      description=${`${name}: ${told.join(", ")}`} />
    <details class="values">
      <summary>${t("plots.text")}</summary>
      <table>
        <tr>${["field", "last", "least", "most"].map((each) => html`<th scope="col">${t(`plots.${each}`)}</th>`)}</tr>
        ${series.map(
          ({ label }, number) => html`<tr key=${label}>
            <th scope="row"><bdi>${label}</bdi></th>${facts[number]?.map((each) => html`<td>${numberText(each)}</td>`)}
          </tr>`,
        )}
      </table>
    </details>`;
}
