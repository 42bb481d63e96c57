/** The devices of a NovaCloud platform: a page at a time, with their latest values; and its nodes. */

import { html, signal, useEffect, useState } from "../vendor/ui.js";
import { Ago, numberText, useAnswer, useEvery, usePushes, useSeldom } from "../live.js";
import { t } from "../words.js";
import { Device } from "./device.js";
import { DeviceLink, methodsOf, Problem, textOf, useLatest, usePages, useWish } from "./shared.js";

const ROWS = 25;
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
  const note = (event) => setTyped({ ...typed, [event.target.name]: event.target.value });
  return html`<form class="search" role="search" onSubmit=${(event) => event.preventDefault()} onInput=${note}>
    ${["name", "tag"].map(
      (name) => html`<input type="search" name=${name} maxlength="200" value=${typed[name]}
        placeholder=${t(`devices.${name}`)} aria-label=${t(`devices.${name}`)} />`,
    )}
    <select name="online" aria-label=${t("devices.presence")} value=${typed.online}>
      <option value="">${t("devices.all")}</option>
      <option value="true">${t("online")}</option>
      <option value="false">${t("offline")}</option>
    </select>
  </form>`;
}

function Nodes({ link }) {
  const { result, again } = useAnswer(link, "platform.nodes", {});
  useEvery(again, 5000);
  if (!result?.length) return null;
  return html`<ul class="nodes" aria-label=${t("nodes")}>
    ${result.map(
      ({ node, devices, since, version }) => html`<li key=${node} title=${t("nodes.version", { version })}>
        <bdi>${node}</bdi> <b>${numberText(devices)}</b> <span class="hint">${t("nodes.since")} <${Ago} at=${since} /></span>
      </li>`,
    )}
  </ul>`;
}

function Row({ device, values }) {
  const { device_id: id, name, online, enabled, last_seen: seen, tags } = device;
  const latest = [...(values ?? [])];
  return html`<li class="device" data-online=${online}>
    <${DeviceLink} id=${id} name=${name} />
    <span class="presence">
      ${t(online ? "online" : enabled ? "offline" : "disabled")}${!online && seen && html` · <${Ago} at=${seen} />`}
    </span>
    <span class="tags">${tags?.map((each) => html`<bdi key=${each}>${each}</bdi>`)}</span>
    <span class="latest">
      ${latest.slice(0, VALUES).map(
        ([key, { value }]) => html`<span key=${key}><bdi>${key}</bdi> <b>${textOf(value, 24)}</b></span>`,
      )}
      ${latest.length > VALUES && html`<span>+${latest.length - VALUES}</span>`}
    </span>
  </li>`;
}

function List({ link, methods }) {
  const { name, tag, online } = wanted.value;
  const params = { ...(name && { name }), ...(tag && { tag }), ...(online && { online: online === "true" }) };
  const [changes, setChanges] = useState(new Map()); // since the page was told
  const forget = () => setChanges(new Map());
  const { result, failure, again, pager } = usePages(link, "device.page", params, ROWS, forget);
  const devices = result?.devices ?? [];
  const ids = devices.map((each) => each.device_id);
  useWish(link, methods, { kinds: ["device.*", "telemetry"], device_ids: ids });
  const values = useLatest(link, methods.has("telemetry.latest") ? ids : []);
  const reload = useSeldom(again, 2000);
  useEvery(again, 15_000);
  usePushes(link, (method, { device_id: id, at }) => {
    if (method !== "device.online" && method !== "device.offline") return;
    setChanges((before) => new Map(before).set(id, { online: method === "device.online", last_seen: at }));
    if (online) reload();
  });
  return html`<section class="page" aria-labelledby="devices-title">
    <div class="bar"><h2 id="devices-title">${t("view.devices")}</h2><${Search} /></div>
    ${methods.has("platform.nodes") && html`<${Nodes} link=${link} />`}
    <${Problem} failure=${failure} />
    ${result && devices.length === 0 && html`<p class="empty">${t("devices.none")}</p>`}
    <ul class="devices">
      ${devices.map((each) => {
        const device = { ...each, ...changes.get(each.device_id) };
        return html`<${Row} key=${each.device_id} device=${device} values=${values.get(each.device_id)} />`;
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
