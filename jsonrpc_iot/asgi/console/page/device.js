/** The device that the page is about: what it says it can do, and the forms that people have begun to fill in. */

import { MethodForm } from "./call.js";
import { describe, describeNames } from "./document.js";
import { FORBIDDEN, OFFLINE, UNAUTHENTICATED } from "./failure.js";
import { effect, signal } from "./vendor/ui.js";

const KEPT_FORMS = 100;
const SOON = 1_000;
const RARELY = 10_000;
/** What says that a device of a gateway has come or gone, there and at the device's own address. */
const CHANGES = ["gateway.changed", "gateway.device"];

export class Device {
  /** What it can do; null before it has said so. */
  description = signal(/** @type {import("./document.js").Description | null} */ (null));
  /** Why it did not say so. */
  problem = signal(/** @type {string | null} */ (null));
  /** @type {Map<string, MethodForm>} */
  #forms = new Map();
  #isAsking = false;
  #isDue = false;

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
    link.onNotification(({ method }) => void (CHANGES.includes(method) && this.again()));
    setInterval(() => void (link.offline.value && this.again()), RARELY);
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

  /** Ask it again what it can do; many wishes to know that at about the same time are one. */
  async again() {
    this.#isDue = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    while (this.#isDue) {
      this.#isDue = false;
      await this.#ask();
      await new Promise((resolve) => setTimeout(resolve, SOON));
    }
    this.#isAsking = false;
  }

  async #ask() {
    const { link } = this;
    if (link.state.peek() !== "open") return;
    try {
      this.description.value = describe(await link.call("rpc.discover"));
      this.problem.value = link.offline.value = null;
    } catch (failure) {
      if (failure.kind === "lost") return;
      if (failure.code === UNAUTHENTICATED) return link.refuse(failure.message);
      link.offline.value = failure.code === OFFLINE ? failure : null;
      if (link.offline.value) return void (this.problem.value = failure.message);
      this.description.value = failure.code === FORBIDDEN ? null : await this.#askOtherwise().catch(() => null);
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
