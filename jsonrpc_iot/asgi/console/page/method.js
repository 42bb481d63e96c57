/** A method: what it does, its form, and what came of its call. */

import { RpcFailure, UNKNOWN } from "./failure.js";
import { Members } from "./fields/field.js";
import { Json, save } from "./result.js";
import { html, useEffect, useRef, useState } from "./vendor/ui.js";
import { t } from "./words.js";

const SHOWN_ITEMS = 100;
const TICK = 100;

/**
 * @param {{form: import("./call.js").MethodForm, link: import("./link.js").Link}} props
 */
export function Method({ form, link }) {
  const { method } = form;
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [asked, ask] = useState(/** @type {{params: any} | null} */ (null));
  const submit = (event) => {
    event.preventDefault();
    if (form.isRunning.value) return;
    const wrong = [];
    const params = form.params(wrong);
    if (wrong.length) form.run.value = null; // what came before is no result of this
    if (wrong.length) return document.getElementById(wrong[0].id)?.focus();
    if (method.effect === "danger") return ask({ params });
    form.send(link, params);
  };
  useEffect(() => void (asked && dialog.current?.showModal()), [asked]);
  const answer = (event) => {
    if (event.currentTarget.returnValue === "send" && asked) form.send(link, asked.params);
    ask(null);
  };
  return html`<article class="method" data-method=${method.name}>
    <${About} method=${method} />
    <form class="card" onSubmit=${submit} onKeyDown=${(event) => onKey(event, form)} novalidate aria-label=${method.name}>
      <${Params} form=${form} />
      <${Buttons} form=${form} link=${link} />
    </form>
    <${Outcome} form=${form} />
    ${asked && html`<${Confirm} place=${dialog} method=${method} params=${asked.params} onClose=${answer} />`}
  </article>`;
}

/** Where Enter begins a new line, it sends together with Ctrl; Escape cancels. */
function onKey(event, form) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
  else if (event.key === "Escape") form.cancel();
}

function About({ method }) {
  const { effect, deprecated, streams, tags, errors } = method;
  return html`<header class="about-method">
    <h2 tabindex="-1">${method.name}</h2>
    <p class="badges">
      ${effect && html`<span class=${`badge effect-${effect}`}>${t(`effect.${effect}`)}</span>`}
      ${streams && html`<span class="badge">${t("method.streams")}</span>`}
      ${deprecated && html`<span class="badge warn">${t("method.deprecated")}</span>`}
      ${tags.slice(0, 20).map((each) => html`<span class="badge">${each.slice(0, 40)}</span>`)}
    </p>
    ${method.summary && html`<p>${method.summary}</p>`}
    ${method.description && html`<p class="long">${method.description}</p>`}
    ${errors.length > 0 && html`<details><summary>${t("method.errors")}</summary><ul class="plain">
      ${errors.slice(0, 100).map(({ code, message }) => html`<li><code>${String(code)}</code> ${message}</li>`)}
    </ul></details>`}
  </header>`;
}

function Params({ form }) {
  const trouble = form.trouble.value;
  const { params, examples } = form.method;
  const isWritten = form.json.value !== null;
  const fields = params.length ? html`<${Members} node=${form.root} />` : html`<p class="hint">${t("method.no-params")}</p>`;
  const text = html`<label for=${form.root.id}>${t("method.params")}</label>
    <textarea id=${form.root.id} rows="8" spellcheck=${false} value=${form.json.value} aria-invalid=${trouble !== null}
      onInput=${(event) => (form.json.value = event.currentTarget.value)}></textarea>`;
  return html`${isWritten ? text : fields}
    ${trouble && html`<p class="trouble">${"word" in trouble && t(trouble.word, trouble.values)}</p>`}
    <p class="tools">
      <button type="button" class="quiet" aria-pressed=${isWritten} onClick=${() => form.toggleJson()}>${t("method.as-json")}</button>
      ${examples.slice(0, 20).map((each, index) => html`<button type="button" class="quiet"
        onClick=${() => form.fill(objectFrom(each.params))}>${t("method.example", { name: each.name || index + 1 })}</button>`)}
    </p>`;
}

function objectFrom(pairs) {
  const made = Object.create(null);
  for (const [name, value] of pairs) made[name] = value;
  return made;
}

function Buttons({ form, link }) {
  const isRunning = form.isRunning.value;
  const isAway = link.state.value !== "open";
  return html`<p class="buttons">
    <button class=${form.method.effect === "danger" ? "primary danger" : "primary"} aria-disabled=${isRunning}>${t("method.call")}</button>
    ${isRunning && html`<button type="button" onClick=${() => form.cancel()}>${t("cancel")}</button><${Clock} start=${form.run.value.start} />`}
    ${isAway && html`<span class="hint">${t("method.away")}</span>`}
  </p>`;
}

/** Time that passes, drawn while it does. */
function Clock({ start }) {
  const [now, tell] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => tell(performance.now()), TICK);
    return () => clearInterval(timer);
  }, [start]);
  return html`<span class="hint clock">${duration(Math.max(now - start, 0))}</span>`;
}

function Outcome({ form }) {
  const run = form.run.value;
  return html`<section class="outcome" aria-label=${t("result")}>
    <p class="visually-hidden" role="status">${run && spoken(run)}</p>
    ${run && html`<${Items} feed=${run.items} name=${form.method.name} />`}
    ${run?.state === "done" && html`<h3>${t("result")} <span class="hint">${duration(run.took)}</span></h3>
      <${Json} value=${run.result} name=${form.method.name} />`}
    ${run?.state === "failed" && html`<${Failure} ...${run} />`}
  </section>`;
}

function Items({ feed, name }) {
  void feed.version.value; // drawn when it grows, not only with what stands around it
  const shown = feed.newest(SHOWN_ITEMS);
  const first = feed.count - shown.length;
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const follow = useRef(true);
  const { current } = place;
  useEffect(() => void (place.current && follow.current && (place.current.scrollTop = place.current.scrollHeight)));
  const watch = () => current && (follow.current = current.scrollTop + current.clientHeight > current.scrollHeight - 40);
  if (feed.count === 0) return null;
  return html`<h3>${t("items", { count: feed.count })} ${first > 0 && html`<span class="hint">${t("items.newest", { count: shown.length })}</span>`}</h3>
    <ol class="stream" ref=${place} onScroll=${watch} tabindex="0" aria-label=${t("items", { count: feed.count })}>
      ${shown.map((item, index) => html`<li key=${first + index} value=${first + index + 1}><code>${item.text.slice(0, 1000)}</code></li>`)}
    </ol>
    <p class="tools"><button type="button" class="quiet" onClick=${() => save(`[${feed.newest().map((each) => each.text)}]`, name)}>${t("result.save")}</button></p>`;
}

function Failure({ failure, took, items }) {
  const { code, message, data, kind } = failure instanceof RpcFailure ? failure : new RpcFailure(null, String(failure), undefined, "malformed");
  const isBroken = items.count > 0 && (kind === "lost" || code === UNKNOWN);
  const isKnown = kind !== "rpc" || isBroken;
  return html`<div class="failure">
    <h3>${isKnown ? t(`failure.${isBroken ? "broken" : kind}`) : message.slice(0, 2000)} <span class="hint">${code !== null && html`<code>${code}</code>${" "}`}${duration(took)}</span></h3>
    ${isKnown && message !== kind && html`<p class="hint">${message.slice(0, 2000)}</p>`}
    ${typeof data?.path === "string" && html`<p><code>${data.path.slice(0, 500)}</code> ${typeof data.message === "string" && data.message.slice(0, 2000)}</p>`}
    ${data !== undefined && data !== null && html`<details><summary>${t("failure.data")}</summary><${Json} value=${data} name="error" /></details>`}
  </div>`;
}

function Confirm({ place, method, params, onClose }) {
  return html`<dialog ref=${place} onClose=${onClose} aria-labelledby="confirm-title">
    <form method="dialog">
      <h3 id="confirm-title">${t("confirm.title", { name: method.name })}</h3>
      <p>${t("confirm.text")}</p>
      ${params !== undefined && html`<pre class="json">${JSON.stringify(params, null, 2).slice(0, 2000)}</pre>`}
      <p class="buttons">
        <button value="">${t("cancel")}</button>
        <button value="send" class="primary danger">${t("confirm.send")}</button>
      </p>
    </form>
  </dialog>`;
}

function spoken(run) {
  if (run.state === "running") return t("spoken.running");
  if (run.state === "done") return t("spoken.done", { time: duration(run.took) });
  const { kind, message } = run.failure;
  const said = kind === "rpc" ? message : t(`failure.${kind}`);
  return kind === "cancelled" ? said : t("spoken.failed", { message: said });
}

function duration(milliseconds) {
  if (milliseconds < 10) return t("latency", { ms: milliseconds.toFixed(1) });
  if (milliseconds < 1000) return t("latency", { ms: Math.round(milliseconds) });
  return t("seconds", { s: (milliseconds / 1000).toFixed(1) });
}
