/** A form's call: what is sent, what comes back, how long it takes. */

import { RpcFailure } from "./failure.js";
import { Feed } from "./feed.js";
import { nodeAt, nodeFor } from "./fields/node.js";
import { parse } from "./messages.js";
import { jsonOf } from "./pushed.js";
import { computed, signal } from "./vendor/ui.js";

const KEPT_ITEMS = 5_000;

/**
 * What came of a call.
 * @typedef {object} Run
 * @property {"running" | "done" | "failed"} state
 * @property {number} start as `performance.now()` counts
 * @property {number} took milliseconds
 * @property {any} [result]
 * @property {RpcFailure} [failure]
 * @property {Feed<{text: string}>} items of its stream, as JSON
 */

/** The form of a method, kept while people look elsewhere. */
export class MethodForm {
  /** The params written as JSON; null while they are written into fields. */
  json = signal(/** @type {string | null} */ (null));
  /** What is wrong with the whole. */
  trouble = signal(/** @type {import("./fields/check.js").Trouble | null} */ (null));
  run = signal(/** @type {Run | null} */ (null));
  isRunning = computed(() => this.run.value?.state === "running");
  #abort = new AbortController();

  /**
   * @param {import("./document.js").Method} method
   * @param {import("./document.js").Schemas} schemas
   */
  constructor(method, schemas) {
    this.method = method;
    this.schemas = schemas;
    const members = method.params.map(({ name, schema }) => /** @type {const} */ ([name, schema]));
    const required = method.params.filter((each) => each.required).map((each) => each.name);
    const properties = Object.fromEntries(members);
    const schema = { type: "object", properties, required };
    this.root = /** @type {import("./fields/node.js").ObjectNode} */ (nodeFor("", schema, true, schemas));
    if (method.isBare || (members.length > 0 && this.root.kind !== "object")) this.json.value = "";
  }

  /** The params; undefined where there are none. */
  params(/** @type {import("./fields/node.js").Node[]} */ wrong) {
    this.trouble.value = null;
    if (this.json.value !== null) return this.#written(wrong);
    if (this.root.kind !== "object") return undefined;
    const named = this.root.readAll(wrong);
    if (!this.method.byPosition) return Object.keys(named).length ? named : undefined;
    const values = this.method.params.map(({ name }) => named[name]);
    const last = values.findLastIndex((each) => each !== undefined);
    return values.slice(0, last + 1).map((each) => each ?? null);
  }

  #written(wrong) {
    const text = this.json.value?.trim() ?? "";
    if (text === "") return undefined;
    try {
      return parse(text);
    } catch (problem) {
      this.trouble.value = { word: "field.json", values: { reason: problem.message } };
      wrong.push(this.root);
      return undefined;
    }
  }

  /** Write the params as JSON, or into fields again. */
  toggleJson() {
    if (this.json.value === null) {
      this.json.value = JSON.stringify(this.params([]) ?? {}, null, 2);
      return;
    }
    const wrong = [];
    const params = this.params(wrong);
    if (wrong.length === 0) this.fill(params ?? {});
  }

  /** Put params into the fields. */
  fill(/** @type {any} */ params) {
    this.json.value = null;
    if (this.root.kind === "object") this.root.set(params);
  }

  /**
   * Make the call; its outcome is in `run`.
   * @param {import("./link.js").Link} link
   * @param {any} params
   */
  async send(link, params) {
    const items = new Feed(KEPT_ITEMS);
    const start = performance.now();
    this.#abort = new AbortController();
    const tell = (rest) => (this.run.value = { start, items, took: performance.now() - start, ...rest });
    tell({ state: "running" });
    try {
      const onItem = this.method.streams ? (item) => items.push({ text: jsonOf(item ?? null) }) : undefined;
      tell({ state: "done", result: await link.call(this.method.name, params, { onItem, signal: this.#abort.signal }) });
    } catch (failure) {
      tell({ state: "failed", failure });
      this.#showAtField(failure);
    }
  }

  cancel() {
    this.#abort.abort();
  }

  /** An error that names a path stands at the field of it. */
  #showAtField({ message, data }) {
    const path = data?.path;
    if (typeof path !== "string" || this.json.value !== null) return;
    const node = nodeAt(this.root, path);
    if (node === this.root) return;
    node.trouble.value = { said: typeof data.message === "string" ? data.message : message };
    if (document.activeElement?.closest(".method")) document.getElementById(node.id)?.focus();
  }
}
