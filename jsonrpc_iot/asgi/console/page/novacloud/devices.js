/** The devices of a NovaCloud platform: a page at a time, with their latest values; and its nodes. */

import { Ago, Filter, numberText, useAnswer, useEvery, usePushes, useSeldom } from "../live.js";
import { html, signal, useEffect, useState } from "../vendor/ui.js";
import { useWish } from "../wishes.js";
import { t } from "../words.js";
import { Device } from "./device.js";
import { DeviceLink, methodsOf, Presence, Problem, Tags, textOf, useLatest, usePages } from "./shared.js";

const VALUES = 4; // of one row
const TYPING = 250; // milliseconds

/** What is looked for; it stays while somebody looks at a device. */
const wanted = signal({ name: "", tag: "", online: "" });

function Search() {
  const [typed, setTyped] = useState(wanted.value);
  useEffect(() => {
    const timer = setTimeout(() => (wanted.value = typed), TYPING);
    return () => clearTimeout(timer);
  }, [typed]);
  return html`<div class="search" role="search">
    ${["name", "tag"].map(
      (each) => html`<${Filter} key=${each} label=${t(`devices.${each}`)} value=${typed[each]}
        onChange=${(text) => setTyped({ ...typed, [each]: text.slice(0, 200) })} />`,
    )}
    <select aria-label=${t("devices.presence")} value=${typed.online} onChange=${(event) => setTyped({ ...typed, online: event.target.value })}>
      ${[["", "devices.all"], ["true", "online"], ["false", "offline"]].map(([value, word]) => html`<option value=${value}>${t(word)}</option>`)}
    </select>
  </div>`;
}

function Nodes({ link }) {
  const { result, again } = useAnswer(link, "platform.nodes", {});
  useEvery(again, 5000);
  return html`<ul class="nodes" aria-label=${t("nodes")}>
    ${result?.map(
      ({ node, devices, since, version }) => html`<li key=${node} title=${version}>
        <bdi>${node}</bdi> <b>${numberText(devices)}</b> <span class="hint">${t("nodes.since")} <${Ago} at=${since} /></span>
      </li>`,
    )}
  </ul>`;
}

function Row({ device, values }) {
  const latest = [...(values ?? [])];
  return html`<li class="row">
    <${DeviceLink} id=${device.device_id} name=${device.name} />
    <${Presence} device=${device} seen=${device.last_seen} />
    <${Tags} tags=${device.tags} />
    <span class="latest">
      ${latest.slice(0, VALUES).map(([key, { value }]) => html`<span key=${key}><bdi>${key}</bdi> <b>${textOf(value, 24)}</b></span>`)}
      ${latest.length > VALUES && `+${latest.length - VALUES}`}
    </span>
  </li>`;
}

function List({ link, methods }) {
  const { name, tag, online } = wanted.value;
  const params = { name: name || null, tag: tag || null, online: online ? online === "true" : null };
  const [changes, setChanges] = useState(new Map()); // since the page was told
  const forget = () => setChanges(new Map());
  const { result, failure, again, pager } = usePages(link, "device.page", params, forget);
  const devices = result?.devices ?? [];
  const ids = devices.map((each) => each.device_id);
  useWish({ kinds: ["device.*", "telemetry"], device_ids: ids });
  const values = useLatest(link, methods.has("telemetry.latest") ? ids : []);
  const reload = useSeldom(again, 2000);
  useEvery(again, 15_000);
  usePushes(link, (method, { device_id: id, at }) => {
    if (method !== "device.online" && method !== "device.offline") return;
    setChanges((before) => new Map(before).set(id, { online: method === "device.online", last_seen: at }));
    if (online) reload();
  });
  return html`<section class="page" aria-labelledby="title">
    <div class="bar"><h2 id="title">${t("view.devices")}</h2><${Search} /></div>
    ${methods.has("platform.nodes") && html`<${Nodes} link=${link} />`}
    <${Problem} failure=${failure} />
    ${result && !devices.length && html`<p class="empty">${t("devices.none")}</p>`}
    <ul class="rows">
      ${devices.map((each) => {
        const id = each.device_id;
        return html`<${Row} key=${id} device=${{ ...each, ...changes.get(id) }} values=${values.get(id)} />`;
      })}
    </ul>
    ${pager}
  </section>`;
}

/**
 * The view of a platform's devices, or of the one that the address names.
 * @param {import("./shared.js").ViewProps} props
 */
export default function Devices({ link, device, path: [id] }) {
  const methods = methodsOf(device);
  if (id) return html`<${Device} key=${id} link=${link} methods=${methods} id=${id} />`;
  return html`<${List} link=${link} methods=${methods} />`;
}
