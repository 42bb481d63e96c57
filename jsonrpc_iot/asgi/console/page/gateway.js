/** The devices of a gateway, and whether they are there; each leads to what it can do. */

import { html, useEffect, useState } from "./vendor/ui.js";
import { Ago, Filter, matcher, numberText, useAnswer, usePushes } from "./live.js";
import { uriPart } from "./messages.js";
import { filterMethods } from "./methods.js";
import { ENDPOINT } from "./session.js";
import { t } from "./words.js";

/** Where a device has an address of its own, one step below the gateway's. */
function ownAddress(name) {
  return `${ENDPOINT.pathname.replace(/\/$/, "")}/${uriPart(name)}`;
}

/** Whether devices have pages of their own: not where the gateway is reached through something else. */
function useOwnPages(name) {
  const [are, setAre] = useState(false);
  useEffect(() => {
    if (name === undefined) return;
    const asked = fetch(ownAddress(name), { headers: { Accept: "text/html" } });
    asked.then((answer) => setAre(answer.ok && /html/.test(answer.headers.get("content-type") ?? "")), () => {});
  }, [name === undefined]);
  return are;
}

function Device({ device, hasPage }) {
  const { name, online, url, since, last_error: problem, round_trip: trip } = device;
  return html`<li class="row">
    <a class="name" href="#/methods" onClick=${() => filterMethods(`${name}.`)}><bdi>${name}</bdi></a>
    <span class="presence" data-online=${online}>${t(online ? "online" : "offline")} · <${Ago} at=${since} /></span>
    <bdi class="hint">${url ?? ""}</bdi>
    <span class="hint">
      ${online && typeof trip === "number" && t("latency", { ms: numberText(Math.ceil(trip * 1000)) })}
      ${hasPage && html` <a href=${ownAddress(name)} aria-label=${`${t("gateway.own")}: ${name}`}>${t("gateway.own")}</a>`}
    </span>
    ${problem && html`<bdi class="trouble">${problem}</bdi>`}
  </li>`;
}

/**
 * The view of a gateway's devices.
 * @param {{link: import("./link.js").Link}} props
 */
export default function Gateway({ link }) {
  const [devices, setDevices] = useState(new Map());
  const take = (list) => setDevices(new Map(list.map((each) => [each.name, each])));
  const { result, failure } = useAnswer(link, "gateway.devices", {}, take);
  const [filter, setFilter] = useState("");
  const [said, say] = useState("");
  usePushes(link, (method, change) => {
    if (method !== "gateway.changed" || typeof change.name !== "string") return;
    setDevices((before) => {
      const next = new Map(before);
      if (change.removed) next.delete(change.name);
      else next.set(change.name, change);
      return next;
    });
    say(`${change.name}: ${t(change.online ? "online" : "offline")}`);
  });
  const matches = matcher(filter);
  const names = [...devices.keys()].sort();
  const shown = names.filter((name) => matches(name, devices.get(name).url ?? ""));
  const hasPages = useOwnPages(names[0]);
  const there = names.filter((name) => devices.get(name).online).length;
  return html`<section class="page" aria-labelledby="title">
    <div class="bar">
      <h2 id="title">${t("view.gateway")}</h2>
      <${Filter} value=${filter} onChange=${setFilter} />
      <p class="hint">${t("gateway.count", { there, count: names.length })}</p>
    </div>
    <p class="visually-hidden" role="status">${said}</p>
    ${failure && html`<p class="trouble" role="alert">${failure.message}</p>`}
    ${result && names.length === 0 && html`<p class="empty">${t("gateway.none")}</p>`}
    <ul class="rows">
      ${shown.slice(0, 500).map(
        (name) => html`<${Device} key=${name} device=${devices.get(name)} hasPage=${hasPages} />`,
      )}
    </ul>
  </section>`;
}
