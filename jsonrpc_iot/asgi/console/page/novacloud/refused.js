/** What a NovaCloud platform did not take: devices, and values of devices. */

import { html, useState } from "../vendor/ui.js";
import { Ago, numberText, useAnswer, useEvery } from "../live.js";
import { t } from "../words.js";
import { DeviceLink, methodsOf, Problem, useEach, usePages } from "./shared.js";

const ROWS = 25;
const PAUSE = 10_000; // milliseconds

/** What is known of some devices by `device.get`; a device that is deleted is not among it. */
function useDevices(link, ids) {
  const [known, setKnown] = useState(new Map());
  useEach(link, "device.get", ids, (id, device) => setKnown((before) => new Map([...before, [id, device]].slice(-200))));
  return known;
}

function Refused({ link }) {
  const { result, failure, again, pager } = usePages(link, "platform.refused_page", {}, ROWS);
  useEvery(again, PAUSE);
  const rows = result?.refused ?? [];
  const known = useDevices(link, rows.map((each) => each.device_id));
  return html`
    <${Problem} failure=${failure} />
    ${result && rows.length === 0 && html`<p class="empty">${t("refused.none")}</p>`}
    <ul class="devices">
      ${rows.map(({ device_id: id, at, address, reason, times }) => {
        const { name, online } = known.get(id) ?? {};
        return html`<li class="device" key=${id} data-online=${online}>
          <${DeviceLink} id=${id} name=${name} />
          <span class="presence">${online === undefined ? "" : t(online ? "refused.in" : "offline")}</span>
          <span class="hint">${t("refused.from", { address })} · <${Ago} at=${at} /> · ${t("times", { count: numberText(times) })}</span>
          <bdi class="trouble">${reason}</bdi>
        </li>`;
      })}
    </ul>
    ${pager}`;
}

/** Who is known by no id, and devices that throw each other out since they have the same one. */
function Others({ link }) {
  const { result, again } = useAnswer(link, "platform.stats", {});
  useEvery(again, PAUSE);
  const { refused, flapping = [] } = result ?? {};
  return html`
    ${refused && html`<p>${t("refused.stranger", { address: refused.address })} <${Ago} at=${refused.at} />:
      <bdi>${refused.reason}</bdi></p>`}
    ${flapping.length > 0 && html`<h3>${t("refused.flapping")}</h3>
      <ul class="devices">${flapping.map((id) => html`<li class="device" key=${id}><${DeviceLink} id=${id} /></li>`)}</ul>`}`;
}

function Ignored({ link }) {
  const { result, failure, again, pager } = usePages(link, "platform.ignored_page", {}, ROWS);
  useEvery(again, PAUSE);
  const rows = result?.ignored ?? [];
  const known = useDevices(link, rows.map((each) => each.device_id));
  if (!rows.length && !pager) return html`<${Problem} failure=${failure} />`;
  return html`<h3>${t("ignored")}</h3>
    <ul class="devices">
      ${rows.map(
        ({ device_id: id, unknown, wrong, keys }) => html`<li class="device" key=${id}>
          <${DeviceLink} id=${id} name=${known.get(id)?.name} />
          <span class="hint">${t("ignored.counts", { unknown: numberText(unknown), wrong: numberText(wrong) })}</span>
          <span class="tags">${keys.map((each) => html`<bdi key=${each}>${each}</bdi>`)}</span>
        </li>`,
      )}
    </ul>
    ${pager}`;
}

/**
 * The view of what was not taken.
 * @param {import("./shared.js").ViewProps} props
 */
export default function RefusedDevices({ link, device }) {
  const methods = methodsOf(device);
  return html`<section class="page" aria-labelledby="refused-title">
    <div class="bar"><h2 id="refused-title">${t("view.refused")}</h2></div>
    <${Refused} link=${link} />
    ${methods.has("platform.stats") && html`<${Others} link=${link} />`}
    ${methods.has("platform.ignored_page") && html`<${Ignored} link=${link} />`}
  </section>`;
}
