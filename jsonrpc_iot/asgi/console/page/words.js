/**
 * All texts of the page, in English and Chinese: `t("latency", { ms: 12 })`.
 *
 * A component that calls `t` is drawn anew when the language changes. A view with texts of its own has them in
 * modules like words-en.js and words-zh.js and adds both with `addWords`.
 */

import { keep, kept } from "./kept.js";
import { signal } from "./vendor/ui.js";
import english from "./words-en.js";
import chinese from "./words-zh.js";

const KEPT = "jsonrpc-iot.language";
const WORDS = { en: new Map(Object.entries(english)), zh: new Map(Object.entries(chinese)) };

/** The languages, each by its own name. */
export const LANGUAGES = { en: "English", zh: "中文" };

/** "en" or "zh". */
export const language = signal(firstLanguage());

function firstLanguage() {
  const chosen = kept("localStorage", KEPT);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/**
 * Speak another language from now on, and when the page is opened again.
 * @param {"en" | "zh"} chosen
 */
export function speak(chosen) {
  keep("localStorage", KEPT, chosen);
  language.value = chosen;
}

/**
 * Add the texts of a view.
 * @param {Record<string, string>} en
 * @param {Record<string, string>} zh
 */
export function addWords(en, zh) {
  for (const [key, text] of Object.entries(en)) WORDS.en.set(key, text);
  for (const [key, text] of Object.entries(zh)) WORDS.zh.set(key, text);
}

/**
 * A text in the language of the page.
 * @param {string} key
 * @param {Record<string, unknown>} [values] are put in where the text names them, `{name}`; `{name:one|many}` chooses.
 * @returns {string}
 */
export function t(key, values = {}) {
  const text = WORDS[language.value].get(key) ?? WORDS.en.get(key) ?? key;
  const chosen = text.replace(/\{(\w+):(.*?)\|(.*?)\}/g, (_, name, one, many) => (values[name] === 1 ? one : many));
  return chosen.replace(/\{(\w+)\}/g, (whole, name) => (Object.hasOwn(values, name) ? String(values[name]) : whole));
}
