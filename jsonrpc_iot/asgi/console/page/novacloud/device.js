/** One device of a NovaCloud platform: how it is, what it reports, what it is told. */

import { Ago, useAnswer, useEvery, usePushes } from "../live.js";
import { html } from "../vendor/ui.js";
import { useWish } from "../wishes.js";
import { t } from "../words.js";
import { Commands } from "./commands.js";
import { Presence, Problem, Tags, textOf, useLatest } from "./shared.js";
import { Telemetry } from "./telemetry.js";

const PAUSE = 10_000; // milliseconds
const SHOWN = 200; // values

/** What is known of it; counts by their own names, those that are not 0. */
function Facts({ device }) {
  const { counts: { last_error: problem, ...counts } = {}, connected_since: since, last_seen: seen } = device;
  const facts = [
    [t("device.id"), device.device_id],
    [t("device.address"), device.address],
    [t("device.since"), since && html`<${Ago} at=${since} />`],
    [t("device.seen"), seen && html`<${Ago} at=${seen} />`],
    [t("device.firmware"), device.firmware_version],
    [t("device.outbox"), device.outbox_pending],
    ...Object.entries(counts),
    [t("device.error"), problem?.message],
  ];
  return html`<dl class="facts">
    ${facts.map(([name, value]) => value && html`<div key=${name}><dt>${name}</dt><dd>${typeof value === "object" ? value : textOf(value)}</dd></div>`)}
  </dl>`;
}

function Latest({ link, id, units }) {
  const values = useLatest(link, [id]).get(id) ?? new Map();
  return html`<ul class="tiles" aria-label=${t("device.latest")}>
    ${[...values].slice(0, SHOWN).map(
      ([key, { value, timestamp }]) => html`<li key=${key}>
        <bdi>${key}</bdi><b>${textOf(value, 60)} <small>${units.get(key)}</small></b><${Ago} at=${timestamp} />
      </li>`,
    )}
  </ul>`;
}

/**
 * The view of one device.
 * @param {{link: import("../link.js").Link, methods: Map<string, any>, id: string}} props
 */
export function Device({ link, methods, id }) {
  const { result: device, failure, again } = useAnswer(link, "device.get", { device_id: id });
  const { result: sensors } = useAnswer(link, "sensor.list", methods.has("sensor.list") ? { device_id: id } : null);
  useWish({ kinds: ["*"], device_ids: [id] });
  usePushes(link, (method, params) => method.startsWith("device.") && params.device_id === id && again());
  useEvery(again, PAUSE);
  const { name, refused, connected_since: since } = device ?? {};
  return html`<section class="page" aria-labelledby="title">
    <a class="up" href="#/devices">${t("view.devices")}</a>
    <${Problem} failure=${failure} />
    ${device && html`
      <div class="bar">
        <h2 id="title"><bdi>${name}</bdi></h2>
        <span role="status"><${Presence} device=${device} /></span>
        <${Tags} tags=${device.tags} />
      </div>
      ${refused && !(since > refused.at) && html`<p class="trouble">
        ${t("device.refused", refused)} <${Ago} at=${refused.at} />: <bdi>${refused.reason}</bdi></p>`}
      <${Facts} device=${device} />
      ${methods.has("telemetry.latest") &&
        html`<${Latest} link=${link} id=${id} units=${new Map(sensors?.map((each) => [each.value_key, each.unit]))} />`}
      ${methods.has("telemetry.query") && sensors && html`<${Telemetry} link=${link} id=${id} sensors=${sensors} />`}
      ${methods.has("command.list") && html`<${Commands} link=${link} methods=${methods} id=${id} />`}`}
  </section>`;
}
