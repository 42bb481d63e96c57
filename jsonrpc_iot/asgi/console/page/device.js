/** The device that the page is about: what it says it can do, and the forms that people have begun to fill in. */

import { MethodForm } from "./call.js";
import { describe, describeNames } from "./document.js";
import { UNAUTHENTICATED } from "./failure.js";
import { effect, signal } from "./vendor/ui.js";

const KEPT_FORMS = 100;

export class Device {
  /** What it can do; null before it has said so. */
  description = signal(/** @type {import("./document.js").Description | null} */ (null));
  /** Why it did not say so. */
  problem = signal(/** @type {string | null} */ (null));
  /** @type {Map<string, MethodForm>} */
  #forms = new Map();

  /**
   * @param {import("./link.js").Link} link
   * @param {URL} endpoint
   * @param {() => string | null} token
   */
  constructor(link, endpoint, token) {
    this.link = link;
    this.endpoint = endpoint;
    this.token = token;
    effect(() => void (link.state.value === "open" && this.#ask()));
  }

  /**
   * The form of a method: the one that was begun, unless the method has changed.
   * @param {string} name
   */
  formOf(name) {
    const description = this.description.value;
    const method = description?.methods.get(name);
    const begun = this.#forms.get(name);
    if (!description) return begun;
    if (!method) return undefined;
    if (begun?.method.print === method.print && begun.schemas.print === description.schemas.print) return begun;
    const form = new MethodForm(method, description.schemas);
    this.#forms.set(name, form);
    if (this.#forms.size > KEPT_FORMS) this.#forms.delete(/** @type {string} */ (this.#forms.keys().next().value));
    return form;
  }

  async #ask() {
    try {
      this.description.value = describe(await this.link.call("rpc.discover"));
      this.problem.value = null;
    } catch (failure) {
      if (failure.kind === "lost") return;
      if (failure.code === UNAUTHENTICATED) return this.link.refuse(failure.message);
      this.description.value = await this.#askOtherwise().catch(() => null);
      this.problem.value = this.description.value ? null : failure.message;
    }
  }

  /** A document may be too large for a message of that way, and a device may have none. */
  async #askOtherwise() {
    const headers = new Headers();
    if (this.token()) headers.set("Authorization", `Bearer ${this.token()}`);
    const response = await fetch(`${this.endpoint.href.replace(/\/$/, "")}/openrpc.json`, { headers });
    if (response.ok) return describe(await response.json());
    return describeNames(await this.link.call("rpc.methods"));
  }
}
