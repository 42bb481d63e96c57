/** What views share to stay up to date: answers that are asked for again, things that are pushed, the time. */

import { html, signal, useEffect, useRef, useState } from "./vendor/ui.js";
import { language, t } from "./words.js";

const PATIENCE = 30; // seconds

/** Unix seconds, a moment old, for what is shown as "3 minutes ago". */
const now = signal(Date.now() / 1000);
setInterval(() => (now.value = Date.now() / 1000), 10_000);

/**
 * Ask something, and ask it again when the params change and when the link has come back.
 * @param {import("./link.js").Link} link
 * @param {string} method
 * @param {object | null} params null as long as nothing is to be asked.
 * @param {(result: any) => void} [take] gets the result before anything that is pushed after it.
 * @returns {{result: any, failure: Error | null, isCurrent: boolean, again: () => void}} `result` is the one before
 *   until the next has come; `isCurrent` says whether it belongs to the params.
 */
export function useAnswer(link, method, params, take) {
  const [answer, setAnswer] = useState(/** @type {any} */ ({ asked: "", failure: null }));
  const [turn, setTurn] = useState(0);
  const call = useRef({ isOpen: false, isDue: false }).current;
  const isOpen = link.state.value === "open";
  const asked = params && JSON.stringify([method, params]);
  const again = () => {
    call.isDue = call.isOpen; // one that is under way is not given up: else a slow end would never have said anything
    if (!call.isOpen) setTurn((before) => before + 1);
  };
  useEffect(() => {
    if (!isOpen || !asked) return undefined;
    const abort = new AbortController();
    const settle = (answer) => {
      if (abort.signal.aborted) return;
      setAnswer((before) => ({ ...before, asked, ...answer }));
      call.isOpen = false;
      if (call.isDue) again();
    };
    call.isOpen = true;
    const answered = (result) => (abort.signal.aborted || take?.(result), settle({ result, failure: null }));
    const failed = (failure) => settle(failure.kind === "lost" ? {} : { failure }); // it is asked again when the link is back
    link.call(method, params, { signal: abort.signal, timeout: PATIENCE }).then(answered).catch(failed);
    return () => {
      abort.abort();
      call.isOpen = false;
    };
  }, [link, isOpen, asked, turn]);
  return { result: answer.result, failure: answer.failure, isCurrent: answer.asked === asked, again };
}

/**
 * A function that calls another one, at most once in a while; the last call is never left out.
 * @param {() => void} act
 * @param {number} pause milliseconds.
 * @returns {() => void}
 */
export function useSeldom(act, pause) {
  const latest = useRef(act);
  latest.current = act;
  const timer = useRef({ id: 0, at: 0 });
  useEffect(() => () => clearTimeout(timer.current.id), []);
  return () => {
    const own = timer.current;
    if (own.id) return;
    const wait = Math.max(0, own.at + pause - performance.now());
    own.id = setTimeout(() => {
      own.id = 0;
      own.at = performance.now();
      latest.current();
    }, wait);
  };
}

/**
 * Hear what is pushed as long as a view is shown.
 * @param {import("./link.js").Link} link
 * @param {(method: string, params: any) => void} hearer
 */
export function usePushes(link, hearer) {
  const latest = useRef(hearer);
  latest.current = hearer;
  useEffect(() => link.onNotification(({ method, params }) => latest.current(method, params ?? {})), [link]);
}

/**
 * Do something again and again while somebody looks.
 * @param {() => void} act
 * @param {number | null} pause milliseconds; null for never.
 */
export function useEvery(act, pause) {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    if (!pause) return;
    const timer = setInterval(() => document.hidden || latest.current(), pause);
    return () => clearInterval(timer);
  }, [pause]);
}

/**
 * Whether a name or a text is meant by what somebody typed: with `*` a pattern of all of it, else a part of it.
 * @param {string} filter
 * @returns {(...texts: string[]) => boolean}
 */
export function matcher(filter) {
  const wanted = filter.trim().toLowerCase();
  if (!wanted.includes("*")) return (...texts) => texts.some((each) => String(each).toLowerCase().includes(wanted));
  const parts = wanted.split("*").map((each) => each.replace(/[^\w]/g, "\\$&"));
  const pattern = new RegExp(`^${parts.join("[^]*")}$`);
  return (...texts) => texts.some((each) => pattern.test(String(each).toLowerCase()));
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** How long ago something was; the exact time is its title. */
export function Ago({ at }) {
  if (typeof at !== "number") return "–";
  const seconds = Math.min(at - now.value, 0);
  const [unit, size] = UNITS.find(([, size]) => -seconds >= size) ?? ["second", 1];
  const words = new Intl.RelativeTimeFormat(language.value, { numeric: "auto", style: "short" });
  return html`<time title=${timeText(at)}>${words.format(Math.trunc(seconds / size), unit)}</time>`;
}

/**
 * A moment with its day.
 * @param {number} at Unix seconds.
 */
export function timeText(at) {
  if (typeof at !== "number") return null;
  const day = new Date(at * 1000);
  return isNaN(day.getTime()) ? String(at) : day.toLocaleString(language.value, { hourCycle: "h23" });
}

/**
 * A number for people: as exact as a sensor is.
 * @param {unknown} value
 */
export function numberText(value) {
  if (typeof value !== "number") return "–";
  return value.toLocaleString(language.value, { maximumSignificantDigits: 6 });
}

/** A field that says what is to be shown. */
export function Filter({ label = t("filter"), value, onChange }) {
  return html`<input type="search" placeholder=${label} aria-label=${label} value=${value} autocomplete="off"
    onInput=${(event) => onChange(event.target.value)} />`;
}

/**
 * So many of a unit of time.
 * @param {number} count
 * @param {string} unit
 */
export function unitText(count, unit) {
  return new Intl.NumberFormat(language.value, { style: "unit", unit, unitDisplay: "long" }).format(count);
}
