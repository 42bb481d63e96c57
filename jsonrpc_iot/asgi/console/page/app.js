/**
 * The page: what stands around the views, and which of them is shown.
 *
 * A view is one line in VIEWS. Its module is loaded when it is first shown; its default export is a component that
 * gets `{ link, device, path }`: the link, the device with its `description` (see document.js), and what the address
 * has after the view's name, `#/NAME/path[0]/path[1]`. `word` is the key of its title in words-en.js and words-zh.js
 * (or in the view's own, see words.js). `isFor`, where there is one, says from the description whether the device
 * has what the view shows. A view with `early` is loaded once the link is up, and its export `start({ link, device })`
 * called, so that it has heard what came before anybody looked.
 */

import { Device } from "./device.js";
import { Link } from "./link.js";
import Methods from "./methods.js";
import { ENDPOINT, keepToken, keptToken, NEEDS_TOKEN, takeFragment } from "./session.js";
import { Header, titleOf, Trouble } from "./shell.js";
import { SignIn } from "./signin.js";
import { effect, html, render, signal } from "./vendor/ui.js";
import { language, t } from "./words.js";

/**
 * @typedef {object} View
 * @property {string} name
 * @property {string} word
 * @property {() => Promise<any>} load
 * @property {(description: import("./document.js").Description) => boolean} [isFor]
 * @property {boolean} [early]
 */

/** @type {View[]} */
const VIEWS = [
  { name: "methods", word: "view.methods", load: async () => ({ default: Methods }) },
  { name: "gateway", word: "view.gateway", load: () => import("./gateway.js"), isFor: has("gateway.devices") },
  { name: "devices", word: "view.devices", load: () => import("./novacloud/devices.js"), isFor: has("device.page") },
  { name: "commands", word: "view.commands", load: () => import("./novacloud/commands.js"), isFor: has("command.list") },
  { name: "refused", word: "view.refused", load: () => import("./novacloud/refused.js"), isFor: has("platform.refused_page") },
  { name: "events", word: "view.events", load: () => import("./events.js"), early: true },
  { name: "plots", word: "view.plots", load: () => import("./plots.js") },
  { name: "wire", word: "view.wire", load: () => import("./wire.js") },
];

function has(method) {
  return (description) => description.methods.has(method);
}

const route = signal(routeOf(location.hash));
const isSigningIn = signal(false);
const trouble = signal(/** @type {string | null} */ (null)); // with the key of the address
const loaded = signal(/** @type {Record<string, any>} */ ({ methods: Methods }));

function routeOf(hash) {
  const [, name, ...path] = hash.split("/");
  return { name: name || "methods", path: path.map(decoded) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function load(view) {
  const module = await view.load();
  loaded.value = { ...loaded.value, [view.name]: module.default };
  return module;
}

function viewsFor(description) {
  return VIEWS.filter((each) => !each.isFor || (description !== null && each.isFor(description)));
}

function App({ link, device }) {
  const views = viewsFor(device.description.value);
  const { name, path } = route.value;
  const view = views.find((each) => each.name === name) ?? views[0];
  const Shown = loaded.value[view.name];
  const mustSignIn = link.state.value === "refused" || isSigningIn.value;
  const signIn = (token) => {
    keepToken(token);
    isSigningIn.value = false;
    trouble.value = null;
    link.signIn(token);
  };
  const close = link.state.value === "refused" ? undefined : () => (isSigningIn.value = false);
  return html`<a class="skip" href="#main" onClick=${skip}>${t("skip")}</a>
    <${Header} link=${link} device=${device} views=${views} current=${view.name} mustSignIn=${mustSignIn} hasToken=${keptToken() !== null}
      onSignIn=${() => (isSigningIn.value = true)} onSignOut=${() => signIn(null)} />
    <${Trouble} link=${link} device=${device} />
    <main id="main" tabindex="-1">
      ${mustSignIn ? html`<${SignIn} onToken=${signIn} onClose=${close} trouble=${trouble.value ?? (keptToken() !== null && !close ? "sign.refused" : null)} />`
        : Shown && html`<${Shown} link=${link} device=${device} path=${path} />`}
    </main>`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** `/` goes to the filter from anywhere but where people write. */
function onKey(event) {
  const isWriting = event.target.closest("input:not([type=checkbox], [type=range]), textarea, select, dialog");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isWriting) return;
  event.preventDefault();
  const focus = () => document.getElementById("filter")?.focus();
  if (route.value.name === "methods") return focus(); // at once: what is typed next belongs there
  location.hash = "#/methods";
  requestAnimationFrame(focus);
}

async function start() {
  trouble.value = await takeFragment();
  const link = new Link(ENDPOINT, keptToken(), NEEDS_TOKEN);
  const device = new Device(link, ENDPOINT, keptToken);
  addEventListener("hashchange", async () => {
    const before = keptToken();
    trouble.value = await takeFragment();
    if (keptToken() !== before) link.signIn(keptToken());
    route.value = routeOf(location.hash);
  });
  addEventListener("keydown", onKey);
  effect(() => void (document.documentElement.lang = language.value));
  effect(() => void (document.title = titleOf(link, device.description.value)));
  effect(() => {
    const view = viewsFor(device.description.value).find((each) => each.name === route.value.name);
    if (view && !loaded.peek()[view.name]) load(view);
  });
  render(html`<${App} link=${link} device=${device} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
  startEarly(link, device);
  await link.run();
}

/** Load the views that are to hear everything, once, as soon as there is something to hear. */
function startEarly(link, device) {
  const stop = effect(() => {
    if (link.state.value !== "open") return;
    queueMicrotask(() => stop());
    for (const view of VIEWS.filter((each) => each.early)) load(view).then((module) => module.start({ link, device }));
  });
}

start();
