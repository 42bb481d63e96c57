/** What a NovaCloud platform did not take: devices, and values of devices. */

import { Ago, numberText, useAnswer, useEvery } from "../live.js";
import { html } from "../vendor/ui.js";
import { t } from "../words.js";
import { DeviceLink, methodsOf, Presence, Problem, Tags, useDevices, usePages } from "./shared.js";

const PAUSE = 10_000; // milliseconds

function Refused({ link }) {
  const { result, failure, again, pager } = usePages(link, "platform.refused_page", {});
  useEvery(again, PAUSE);
  const rows = result?.refused ?? [];
  const known = useDevices(link, rows);
  return html`
    <${Problem} failure=${failure} />
    ${result && !rows.length && html`<p class="empty">${t("refused.none")}</p>`}
    <ul class="rows">
      ${rows.map(
        ({ device_id: id, at, address, reason, times }) => html`<li class="row" key=${id}>
          <${DeviceLink} id=${id} name=${known.get(id)?.name} />
          <${Presence} device=${known.get(id)} />
          <span class="hint">${t("refused.from", { address, times: numberText(times) })} · <${Ago} at=${at} /></span>
          <bdi class="trouble">${reason}</bdi>
        </li>`,
      )}
    </ul>
    ${pager}`;
}

/** Somebody who is known by no id. */
function Stranger({ link }) {
  const { result, again } = useAnswer(link, "platform.stats", {});
  useEvery(again, PAUSE);
  const last = result?.refused;
  return last && html`<p>${t("refused.stranger", last)} <${Ago} at=${last.at} />: <bdi>${last.reason}</bdi></p>`;
}

function Ignored({ link }) {
  const { result, again, pager } = usePages(link, "platform.ignored_page", {});
  useEvery(again, PAUSE);
  const rows = result?.ignored ?? [];
  const known = useDevices(link, rows);
  return html`${rows.length > 0 && html`<h3>${t("ignored")}</h3>`}
    <ul class="rows">
      ${rows.map(
        ({ device_id: id, unknown, wrong, keys }) => html`<li class="row" key=${id}>
          <${DeviceLink} id=${id} name=${known.get(id)?.name} />
          <span class="hint">${t("ignored.counts", { unknown: numberText(unknown), wrong: numberText(wrong) })}</span>
          <${Tags} tags=${keys} />
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
  return html`<section class="page" aria-labelledby="title">
    <h2 id="title">${t("view.refused")}</h2>
    <${Refused} link=${link} />
    ${methods.has("platform.stats") && html`<${Stranger} link=${link} />`}
    ${methods.has("platform.ignored_page") && html`<${Ignored} link=${link} />`}
  </section>`;
}
