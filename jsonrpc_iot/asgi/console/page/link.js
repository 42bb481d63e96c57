/**
 * The link to the other end: it comes up, falls back, comes back, and carries calls and notifications.
 *
 * How messages travel is the business of `ways/`; what stands in them is known here alone. A call is sent once:
 * when the link dies under it nobody knows whether it ran, so it fails with the kind "lost" and is never repeated.
 */

import { NO_METHOD, OFFLINE, Refused, RpcFailure, UNAUTHENTICATED } from "./failure.js";
import { messageIn } from "./messages.js";
import { signal } from "./vendor/ui.js";
import { openPost } from "./ways/post.js";
import { openSocket } from "./ways/socket.js";

export { RpcFailure };

const PING_EVERY = 10_000;
const PING_WITHIN = 15; // seconds
const PAUSE = 500;
const LONGEST_PAUSE = 15_000;
const PATIENCE = 2; // failures that pauses grow with while a device is offline
const FIRST_CREDIT = 8; // items of a stream that may be sent before anybody allows more
const CREDIT = 64; // items that may be under way from then on

export class Link {
  /** "connecting", "open", "away" (it tries again at `retryAt`) or "refused" (somebody has to sign in). */
  state = signal("connecting");
  /** Where somebody is there who speaks with the device, and the device is not: what they say of that. */
  offline = signal(/** @type {RpcFailure | null} */ (null));
  /** What is known of the last failure; null when all is well. */
  reason = signal(/** @type {string | null} */ (null));
  /** "websocket" or "post"; null before it was open. */
  way = signal(/** @type {string | null} */ (null));
  /** Milliseconds that the last ping took. */
  latency = signal(/** @type {number | null} */ (null));
  /** When it tries again, as `Date.now()` counts. */
  retryAt = signal(/** @type {number | null} */ (null));

  #endpoint;
  #token;
  #needsToken;
  /** @type {import("./ways/socket.js").Way | null} */
  #way = null;
  #calls = new Map();
  #nextId = Math.floor(Math.random() * 2 ** 31); // the other end may remember the ids of an earlier page
  #listeners = new Set();
  #watchers = new Set();
  #knowsExtensions = false;
  #hadSocket = false;
  #closed = false;
  #wake = () => {};
  #refuse = (_) => {};

  /**
   * @param {URL} endpoint where the other end answers; all ways lead there.
   * @param {string | null} token shown to it.
   * @param {boolean} needsToken whether it answers nobody who has none: it is not asked then.
   */
  constructor(endpoint, token, needsToken) {
    this.#endpoint = endpoint;
    this.#token = token;
    this.#needsToken = needsToken;
  }

  /** Open it, and keep it open until `close`. */
  async run() {
    for (let failures = 0; !this.#closed; failures++) {
      const token = this.#token;
      this.state.value = "connecting";
      const problem = await this.#live(() => (failures = 0)).catch((reason) => reason);
      const isRefused = problem instanceof Refused;
      this.offline.value = problem.code === OFFLINE ? problem : null;
      if (this.offline.value) failures = Math.min(failures, PATIENCE); // to ask who is there costs little
      [this.reason.value, this.state.value] = [problem.message, isRefused ? "refused" : "away"];
      if (!this.#closed && token === this.#token) await this.#pause(isRefused ? null : failures);
    }
  }

  /** Close it for good. */
  close() {
    this.#closed = true;
    this.#way?.close();
    this.retry();
  }

  /** Try again now instead of later. */
  retry() {
    this.#wake();
  }

  /**
   * Be somebody else from now on; open calls are lost.
   * @param {string | null} token
   */
  signIn(token) {
    this.#token = token;
    if (this.#way) this.#way.close();
    else this.retry();
  }

  /**
   * Take it that the other end does not want who is there: somebody has to sign in.
   * @param {string} reason
   */
  refuse(reason) {
    this.#refuse(reason);
  }

  /**
   * Call a method.
   * @param {string} method
   * @param {object | unknown[]} [params]
   * @param {{onItem?: (item: any) => void, signal?: AbortSignal, timeout?: number}} [options] `onItem` gets the
   *   items of a stream as they come; `signal` cancels the call; `timeout` is in seconds.
   * @returns {Promise<any>} the result; it fails with an `RpcFailure`.
   */
  call(method, params, { onItem, signal: abort, timeout } = {}) {
    const way = this.#way;
    if (!way) return Promise.reject(failed("unsent"));
    if (abort?.aborted) return Promise.reject(failed("cancelled"));
    const id = this.#nextId++;
    /** @type {any} */
    const request = { jsonrpc: "2.0", id, method, params };
    if (this.#knowsExtensions && onItem) request.stream = true;
    if (this.#knowsExtensions && timeout) request.timeout = timeout;
    return new Promise((resolve, reject) => {
      const stop = (kind) => {
        this.#settle(id)?.reject(failed(kind));
        if (!way.abandon(id) && this.#knowsExtensions) this.#send({ jsonrpc: "2.0", method: "rpc.cancel", params: { id } });
      };
      const cancel = () => stop("cancelled");
      const timer = timeout && setTimeout(() => stop("timeout"), timeout * 1000);
      const done = () => {
        clearTimeout(timer);
        abort?.removeEventListener("abort", cancel);
      };
      abort?.addEventListener("abort", cancel);
      this.#calls.set(id, { resolve, reject, onItem, received: 0, allowed: FIRST_CREDIT, done });
      this.#send(request, id, Boolean(request.stream));
    });
  }

  /**
   * Hear notifications.
   * @param {(notification: {method: string, params: any, at: number}) => void} listener
   * @returns {() => void} ends it.
   */
  onNotification(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * See every message.
   * @param {(message: {direction: "->" | "<-", text: string, at: number}) => void} watcher
   * @returns {() => void} ends it.
   */
  onWire(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Bring it up and keep it; gives why it has ended. */
  async #live(onOpen) {
    if (this.#needsToken && !this.#token) throw new Refused();
    const { way, ended, refuse } = await this.#choose();
    this.#refuse = refuse;
    const over = ended.then((problem) => (this.#drop(problem.message), problem));
    if (this.#closed) way.close();
    this.#way = way;
    try {
      await this.#ping();
      this.#hadSocket ||= way.name === "websocket";
      this.offline.value = null;
      [this.way.value, this.reason.value, this.state.value] = [way.name, null, "open"];
      onOpen();
      for (;;) {
        const problem = await Promise.race([over, pause(PING_EVERY)]);
        if (problem) return problem;
        if (!document.hidden) await this.#ping().catch((failure) => this.#excuse(failure));
      }
    } finally {
      way.close();
      this.#drop("closed");
    }
  }

  /** A device that is busy with a call may be too busy for a ping. */
  #excuse(failure) {
    if (failure.kind !== "timeout" || this.#calls.size === 0) throw failure;
  }

  async #choose() {
    if (!("WebSocket" in globalThis)) return this.#attempt(openPost);
    try {
      return await this.#attempt(openSocket);
    } catch {
      // A browser does not say why; the answer to a POST does.
    }
    const post = await this.#attempt(openPost);
    if (!this.#hadSocket) return post;
    // A server that comes back may have done so between the two.
    return this.#attempt(openSocket).then((socket) => (post.way.close(), socket), () => post);
  }

  async #attempt(open) {
    const { promise, resolve } = /** @type {PromiseWithResolvers<Error>} */ (Promise.withResolvers());
    const way = await open(this.#endpoint, this.#token, {
      text: (text) => this.#receive(text),
      failed: (id, kind, reason) => this.#settle(id)?.reject(failed(kind, reason)),
      refused: (reason) => resolve(new Refused(reason)),
      lost: (reason) => resolve(new Error(reason)),
    });
    return { way, ended: promise, refuse: (reason) => resolve(new Refused(reason)) };
  }

  /** Measure the latency, and find out what the other end is. */
  async #ping() {
    const start = performance.now();
    try {
      this.#knowsExtensions = (await this.call("rpc.ping", undefined, { timeout: PING_WITHIN })) === true;
    } catch (failure) {
      if (failure.code === UNAUTHENTICATED) throw new Refused(failure.message);
      if (failure.code === null || failure.code === OFFLINE) throw failure;
    }
    this.latency.value = Math.round(performance.now() - start);
  }

  async #pause(failures) {
    const woken = new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    if (failures === null) return woken;
    const time = Math.min(PAUSE * 2 ** failures, LONGEST_PAUSE) * (0.5 + Math.random() / 2);
    this.retryAt.value = Date.now() + time;
    addEventListener("online", this.#wake, { once: true });
    await Promise.race([woken, pause(time)]);
    removeEventListener("online", this.#wake);
    this.retryAt.value = null;
  }

  #send(request, id = /** @type {number | null} */ (null), streams = false) {
    const text = JSON.stringify(request);
    this.#show("->", text);
    this.#way?.send(text, id, streams);
  }

  #show(direction, text) {
    const at = Date.now();
    for (const watcher of this.#watchers) watcher({ direction, text, at });
  }

  #receive(text) {
    this.#show("<-", text);
    const message = messageIn(text);
    if (!message) return;
    const { id, method, params } = message;
    if (method === undefined) this.#answered(message);
    else if (id !== undefined) this.#send(answerTo(id, method));
    else if (method === "rpc.item") this.#takeItem(params ?? {});
    else for (const listener of this.#listeners) listener({ method: String(method), params, at: Date.now() });
  }

  #answered(/** @type {import("./messages.js").Message} */ { id, result, error }) {
    const call = this.#settle(id);
    if (!call) return;
    if (error === undefined) call.resolve(result);
    else if (Number.isInteger(error?.code)) call.reject(new RpcFailure(error.code, String(error.message), error.data));
    else call.reject(failed("malformed", JSON.stringify(error)));
  }

  #takeItem({ id, item }) {
    const call = this.#calls.get(id);
    if (!call?.onItem) return;
    call.received++;
    if (this.#way?.credits && call.received + CREDIT / 2 >= call.allowed) {
      call.allowed = call.received + CREDIT;
      this.#send({ jsonrpc: "2.0", method: "rpc.more", params: { id, upto: call.allowed } });
    }
    call.onItem(item);
  }

  /** Take a call from those that are open. */
  #settle(id) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.done();
    return call;
  }

  #drop(reason) {
    this.#way = null;
    this.latency.value = null;
    for (const id of [...this.#calls.keys()]) this.#settle(id).reject(failed("lost", reason));
  }
}

function failed(kind, reason = kind) {
  return new RpcFailure(null, reason, undefined, kind);
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** What a page answers to a call of the other end: that it is there, and no more. */
function answerTo(id, method) {
  if (method === "rpc.ping") return { jsonrpc: "2.0", id, result: true };
  return { jsonrpc: "2.0", id, error: { code: NO_METHOD, message: "Method not found" } };
}
