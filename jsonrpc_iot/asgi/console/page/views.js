/** The views of what is pushed, of gateways and of NovaCloud: see VIEWS in app.js. */

import english from "./views-en.js";
import chinese from "./views-zh.js";
import { addWords } from "./words.js";

addWords(english, chinese);

const has = (name) => (description) => description.methods.has(name);

/** @type {import("./app.js").View[]} */
export const MORE_VIEWS = [
  { name: "events", word: "view.events", load: () => import("./events.js"), early: true },
  { name: "plots", word: "view.plots", load: () => import("./plots.js") },
  { name: "gateway", word: "view.gateway", load: () => import("./gateway.js"), isFor: has("gateway.devices") },
  { name: "devices", word: "view.devices", load: () => import("./novacloud/devices.js"), isFor: has("device.page") },
  { name: "commands", word: "view.commands", load: () => import("./novacloud/commands.js"), isFor: has("command.list") },
  { name: "refused", word: "view.refused", load: () => import("./novacloud/refused.js"), isFor: has("platform.refused_page") },
];
