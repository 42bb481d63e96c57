/** What stands around every view: title, views, how the link is, language, who is there. */

import { timeText } from "./live.js";
import { ENDPOINT, SIGN_IN } from "./session.js";
import { html, useEffect, useState } from "./vendor/ui.js";
import { language, LANGUAGES, speak, t } from "./words.js";

/** @param {{link: import("./link.js").Link, device: import("./device.js").Device} & Record<string, any>} props */
export function Header({ link, device, views, current, hasToken, mustSignIn, onSignIn, onSignOut }) {
  const description = device.description.value;
  return html`<header class="top">
    <div class="title"><h1>${titleOf(link, description).slice(0, 80)}</h1>
      ${description?.version && html`<span class="hint">${description.version.slice(0, 20)}</span>`}</div>
    <nav class="tabs" aria-label=${t("nav.views")}>
      ${views.map((each) => html`<a key=${each.name} href=${`#/${each.name}`} aria-current=${each.name === current ? "page" : null}>${t(each.word)}</a>`)}
    </nav>
    <div class="status">
      <${State} link=${link} />
      ${!mustSignIn && SIGN_IN !== "no" && html`<button type="button" class="quiet" onClick=${hasToken ? onSignOut : onSignIn}>${t(hasToken ? "sign.out" : "sign.in")}</button>`}
      <${Language} />
    </div>
  </header>`;
}

/** What the device calls itself; one that is away has its name in the address. */
export function titleOf(link, description) {
  const name = link.offline.value && decodeURI(ENDPOINT.pathname.split("/").at(-1) ?? "");
  return description?.title || name || t("console");
}

function State({ link }) {
  const state = link.offline.value ? "offline" : link.state.value;
  const latency = link.latency.value;
  const isPost = state === "open" && link.way.value === "post";
  return html`<span class="state" data-state=${state} role="status" title=${isPost ? t("way.post") : null}>${t(`state.${state}`)}${isPost && " · POST"}</span>
    ${latency !== null && html`<span class="hint latency" title=${t("latency.title")}>${t("latency", { ms: latency })}</span>`}`;
}

function Language() {
  const change = (event) => speak(event.currentTarget.value);
  return html`<select class="language" aria-label="Language / 语言" value=${language.value} onChange=${change}>
    ${Object.entries(LANGUAGES).map(([each, name]) => html`<option key=${each} value=${each} lang=${each}>${name}</option>`)}
  </select>`;
}

/** Says that the link is lost, and when it is tried again. */
export function Trouble({ link, device }) {
  const { state, reason, retryAt, offline } = link;
  const [now, tell] = useState(Date.now());
  const isAway = reason.value !== null && (state.value === "away" || state.value === "connecting");
  useEffect(() => {
    if (!isAway) return undefined;
    const timer = setInterval(() => tell(Date.now()), 500);
    return () => clearInterval(timer);
  }, [isAway]);
  const away = offline.value;
  if (!isAway && !away) return null;
  const seconds = Math.max(Math.ceil(((retryAt.value ?? now) - now) / 1000), 0);
  const isTrying = state.value === "connecting" || retryAt.value === null;
  return html`<div class="banner"><span title=${reason.value}>${away ? t("offline.since", { at: timeText(away.data?.since) ?? "–" }) : t(isTrying ? "state.connecting" : "away.retry", { seconds })}</span>
    <button type="button" onClick=${() => (link.retry(), device.again())}>${t("away.now")}</button></div>`;
}
