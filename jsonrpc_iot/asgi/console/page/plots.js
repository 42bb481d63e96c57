/** A plot for each kind of notification that has numbers, with a line for each of its numeric fields. */

import { Plot } from "./chart.js";
import { Filter, matcher, useSeldom } from "./live.js";
import { pushedBy } from "./pushed.js";
import { html, useEffect, useMemo, useState } from "./vendor/ui.js";
import { useWish } from "./wishes.js";
import { t } from "./words.js";

const DRAWN = 6;
const BEAT = 250; // milliseconds between two values of a legend
const YEAR = 31_557_600;

/** Whether a number is a moment of these years, which says nothing beside values. */
function isMoment(value) {
  const now = Date.now() / 1000;
  return Math.abs(value - now) < YEAR || Math.abs(value / 1000 - now) < YEAR;
}

function Card({ pushed, group, turn }) {
  const names = [...group.fields.keys()];
  const [isApart, setApart] = useState(false);
  const [chosen, setHidden] = useState(null);
  const series = useMemo(() => names.map((label) => ({ label, scale: isApart ? label : "" })), [names.length, isApart]);
  const hidden = useMemo(
    () => chosen ?? new Set(names.filter((each) => isMoment(group.fields.get(each).at(-1)))),
    [chosen, names.length],
  );
  const data = useMemo(() => () => [group.times, ...series.map(({ label }) => group.fields.get(label))], [series, turn]);
  return html`<article class="card" aria-label=${group.name}>
    <div class="bar">
      <h3><bdi>${group.name}</bdi></h3>
      <button type="button" class="quiet" aria-pressed=${isApart} onClick=${() => setApart(!isApart)}>${t("plots.apart")}</button>
    </div>
    <${Plot} name=${group.name} series=${series} hidden=${hidden} onHide=${setHidden} data=${data} hear=${pushed.hear} />
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
  useWish(null);
  const matches = matcher(filter);
  pushed.isWanted = matches;
  const groups = [...pushed.groups.values()].filter(({ name }) => matches(name));
  return html`<section class="page" aria-labelledby="title">
    <div class="bar">
      <h2 id="title">${t("view.plots")}</h2>
      <${Filter} value=${filter} onChange=${setFilter} />
      <button type="button" class="quiet" onClick=${pushed.clear}>${t("events.clear")}</button>
    </div>
    ${pushed.ungrouped > 0 && html`<p class="hint">${t("plots.full", { count: pushed.groups.size })}</p>`}
    ${!groups.length && html`<p class="empty">${t("plots.none")}</p>`}
    <div class="cards">
      ${groups.slice(0, count).map((group) => html`<${Card} key=${group.name} pushed=${pushed} group=${group} turn=${turn} />`)}
    </div>
    ${groups.length > count && html`<button type="button" onClick=${() => setCount(count + DRAWN)}>
      ${t("more", { shown: count, count: groups.length })}</button>`}
  </section>`;
}
