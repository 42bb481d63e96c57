/** One device of a NovaCloud platform: how it is, what it reports, what it is told. */

import { html } from "../vendor/ui.js";
import { Ago, numberText, useAnswer, useEvery, usePushes } from "../live.js";
import { t } from "../words.js";
import { Commands } from "./commands.js";
import { Problem, textOf, useLatest, useWish } from "./shared.js";
import { Telemetry } from "./telemetry.js";

const COUNTED = ["malformed", "not_finite", "unknown_values", "wrong_values", "duplicates", "lost", "dropped_responses", "quick_heartbeats", "slowed", "failed_auths"];

function Facts({ device }) {
  const { address, connected_since: since, last_seen: seen, firmware_version: firmware, outbox_pending: outbox } = device;
  const counted = COUNTED.filter((name) => device.counts?.[name]);
  const facts = [
    ["device.id", html`<code>${device.device_id}</code>`],
    ["device.address", address],
    ["device.since", since && html`<${Ago} at=${since} />`],
    ["device.seen", seen && html`<${Ago} at=${seen} />`],
    ["device.firmware", firmware],
    ["device.outbox", outbox && numberText(outbox)],
    ...counted.map((name) => [`count.${name}`, numberText(device.counts[name])]),
    ["device.error", device.counts?.last_error?.message],
  ];
  return html`<dl class="facts">
    ${facts.filter(([, value]) => value).map(([key, value]) => html`<div key=${key}><dt>${t(key)}</dt><dd><bdi>${value}</bdi></dd></div>`)}
  </dl>`;
}

function Refusal({ refused }) {
  const { at, address, reason } = refused;
  return html`<p class="trouble">${t("device.refused", { address })} <${Ago} at=${at} />: <bdi>${reason}</bdi></p>`;
}

function Latest({ link, id, units }) {
  const values = useLatest(link, [id]).get(id) ?? new Map();
  if (!values.size) return html`<p class="empty">${t("device.silent")}</p>`;
  return html`<ul class="tiles" aria-label=${t("device.latest")}>
    ${[...values].slice(0, 200).map(
      ([key, { value, timestamp }]) => html`<li key=${key}>
        <bdi>${key}</bdi><b>${textOf(value, 60)} <small><bdi>${units.get(key) ?? ""}</bdi></small></b>
        <${Ago} at=${timestamp} />
      </li>`,
    )}
  </ul>`;
}

/**
 * The view of one device.
 * @param {{link: import("../link.js").Link, methods: {has: (name: string) => boolean}, id: string}} props
 */
export function Device({ link, methods, id }) {
  const { result: device, failure, again } = useAnswer(link, "device.get", { device_id: id });
  const { result: sensors } = useAnswer(link, "sensor.list", methods.has("sensor.list") ? { device_id: id } : null);
  useWish(link, methods, { kinds: ["device.*", "telemetry", "command.update"], device_ids: [id] });
  usePushes(link, (method, params) => method.startsWith("device.") && params.device_id === id && again());
  useEvery(again, 10_000);
  const units = new Map((sensors ?? []).map(({ value_key: key, unit }) => [key, unit]));
  const back = html`<a class="up" href="#/devices">${t("view.devices")}</a>`;
  if (!device) return html`<section class="page">${back}<${Problem} failure=${failure} /></section>`;
  const { name, online, enabled, tags, refused, connected_since: since } = device;
  return html`<section class="page" aria-labelledby="device-title">
    ${back}
    <div class="bar" data-online=${online}>
      <h2 id="device-title"><bdi>${name}</bdi></h2>
      <span class="presence" role="status">${t(online ? "online" : enabled ? "offline" : "disabled")}</span>
      <span class="tags">${tags?.map((each) => html`<bdi key=${each}>${each}</bdi>`)}</span>
    </div>
    <${Problem} failure=${failure} />
    ${refused && !(since > refused.at) && html`<${Refusal} refused=${refused} />`}
    <${Facts} device=${device} />
    ${methods.has("telemetry.latest") && html`<${Latest} link=${link} id=${id} units=${units} />`}
    ${methods.has("telemetry.query") && sensors && html`<${Telemetry} link=${link} id=${id} sensors=${sensors} />`}
    ${methods.has("command.list") && html`<${Commands} link=${link} methods=${methods} id=${id} />`}
  </section>`;
}
