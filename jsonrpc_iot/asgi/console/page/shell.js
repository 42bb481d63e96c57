/** What stands around every view: title, views, how the link is, language, who is there. */

import { html, useEffect, useState } from "./vendor/ui.js";
import { language, LANGUAGES, speak, t } from "./words.js";

/** @param {{link: import("./link.js").Link, device: import("./device.js").Device} & Record<string, any>} props */
export function Header({ link, device, views, current, hasToken, onSignIn, onSignOut }) {
  const description = device.description.value;
  return html`<header class="top">
    <div class="title"><h1>${(description?.title || t("console")).slice(0, 80)}</h1>
      ${description?.version && html`<span class="hint">${description.version.slice(0, 20)}</span>`}</div>
    <nav class="tabs" aria-label=${t("nav.views")}>
      ${views.map((each) => html`<a key=${each.name} href=${`#/${each.name}`} aria-current=${each.name === current ? "page" : null}>${t(each.word)}</a>`)}
    </nav>
    <div class="status">
      <${State} link=${link} />
      ${hasToken ? html`<button type="button" class="quiet" onClick=${onSignOut}>${t("sign.out")}</button>`
        : html`<button type="button" class="quiet" onClick=${onSignIn}>${t("sign.in")}</button>`}
      <${Language} />
    </div>
  </header>`;
}

function State({ link }) {
  const state = link.state.value;
  const latency = link.latency.value;
  const isPost = state === "open" && link.way.value === "post";
  return html`<span class="state" data-state=${state} role="status" title=${isPost ? t("way.post") : null}>${t(link.isOffline.value ? "state.offline" : `state.${state}`)}${isPost && " · POST"}</span>
    ${latency !== null && html`<span class="hint latency" title=${t("latency.title")}>${t("latency", { ms: latency })}</span>`}`;
}

function Language() {
  const change = (event) => speak(event.currentTarget.value);
  return html`<select class="language" aria-label="Language / 语言" value=${language.value} onChange=${change}>
    ${Object.entries(LANGUAGES).map(([each, name]) => html`<option key=${each} value=${each} lang=${each}>${name}</option>`)}
  </select>`;
}

/** Says that the link is lost, and when it is tried again. */
export function Trouble({ link }) {
  const { state, reason, retryAt } = link;
  const [now, tell] = useState(Date.now());
  const isAway = reason.value !== null && (state.value === "away" || state.value === "connecting");
  useEffect(() => {
    if (!isAway) return undefined;
    const timer = setInterval(() => tell(Date.now()), 500);
    return () => clearInterval(timer);
  }, [isAway]);
  if (!isAway) return null;
  const seconds = Math.max(Math.ceil(((retryAt.value ?? now) - now) / 1000), 0);
  const isTrying = state.value === "connecting" || retryAt.value === null;
  return html`<div class="banner"><span title=${reason.value}>${isTrying ? t("state.connecting") : t(link.isOffline.value ? "offline.retry" : "away.retry", { seconds })}</span>
    <button type="button" onClick=${() => link.retry()}>${t("away.now")}</button></div>`;
}
