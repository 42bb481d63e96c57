/** A plot for each kind of notification that has numbers, with a line for each of its numeric fields. */

import { html, useEffect, useMemo, useState } from "./vendor/ui.js";
import { Chart, Legend, Table } from "./chart.js";
import { matcher, numberText, useSeldom } from "./live.js";
import { pushedBy } from "./pushed.js";
import { t } from "./words.js";

const DRAWN = 6;
const BEAT = 250; // milliseconds between two values of a legend
const LONG_AGO = 31_557_600;

/** Whether a number is a moment of these years, which says nothing beside values. */
function isMoment(value) {
  const now = Date.now() / 1000;
  return Math.abs(value - now) < LONG_AGO || Math.abs(value / 1000 - now) < LONG_AGO;
}

function Card({ pushed, group, turn: _turn }) {
  const fields = [...group.fields];
  const shape = fields.length;
  const [isApart, setApart] = useState(false);
  const series = useMemo(() => fields.map(([path]) => ({ label: path, scale: isApart ? path : "y" })), [shape, isApart]);
  const [chosen, setHidden] = useState(null);
  const hidden = useMemo(
    () => chosen ?? new Set(fields.filter(([, { last }]) => isMoment(last)).map(([path]) => path)),
    [chosen, shape],
  );
  const [point, setPoint] = useState(null);
  const values = fields.map(([, field]) => (point === null ? field.last : field.values[point]));
  const told = fields.map(([path, { last }]) => `${path} ${numberText(last)}`).join(", ");
  return html`<article class="card" aria-label=${group.name}>
    <div class="bar"><h3><bdi>${group.name}</bdi> <small>${numberText(group.count)}</small></h3>
      ${shape > 1 && html`<button type="button" class="quiet" aria-pressed=${isApart} onClick=${() => setApart(!isApart)}>${t("plots.apart")}</button>`}
    </div>
    <${Legend} series=${series} values=${values} hidden=${hidden} onChange=${setHidden} />
    <${Chart} series=${series} hidden=${hidden} description=${`${group.name}: ${told}`} onPoint=${setPoint}
      data=${() => [group.times, ...[...group.fields.values()].slice(0, shape).map((each) => each.values)]}
      hear=${(draw) => pushed.hear(draw)} />
    <${Table} title=${t("plots.text")} heads=${["field", "last", "least", "most"].map((each) => t(`plots.${each}`))}
      rows=${fields.map(([path, { last, min, max }]) => [path, last, min, max])} />
  </article>`;
}

/**
 * The view of all numbers that are pushed.
 * @param {{link: import("./link.js").Link}} props
 */
export default function Plots({ link }) {
  const pushed = pushedBy(link);
  const [filter, setFilter] = useState("");
  const [count, setCount] = useState(DRAWN);
  const [turn, beat] = useState(0);
  const seldom = useSeldom(() => beat((before) => before + 1), BEAT);
  useEffect(() => pushed.hear(seldom), [pushed]);
  const matches = matcher(filter);
  pushed.isWanted = matches;
  const groups = [...pushed.groups.values()].filter(({ name }) => matches(name));
  return html`<section class="page" aria-labelledby="plots-title">
    <div class="bar">
      <h2 id="plots-title">${t("view.plots")}</h2>
      <input type="search" placeholder=${t("plots.filter")} aria-label=${t("plots.filter")} value=${filter}
        onInput=${(event) => setFilter(event.target.value)} />
      <button type="button" class="quiet" onClick=${() => pushed.clearNumbers()}>${t("events.clear")}</button>
    </div>
    ${pushed.ungrouped > 0 && html`<p class="hint">${t("plots.full", { count: pushed.groups.size })}</p>`}
    ${groups.length === 0 && html`<p class="empty">${t("plots.none")}</p>`}
    <div class="cards">
      ${groups.slice(0, count).map((group) => html`<${Card} key=${group.name} pushed=${pushed} group=${group} turn=${turn} />`)}
    </div>
    ${groups.length > count && html`<button type="button" onClick=${() => setCount(count + DRAWN)}>
      ${t("plots.more", { shown: count, count: groups.length })}</button>`}
  </section>`;
}
