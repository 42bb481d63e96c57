/** The way without a WebSocket: each call is a POST, and notifications are server-sent events. */

import { Refused } from "../failure.js";
import { eventsIn } from "../messages.js";

const LISTEN_AGAIN = 1_000;
const PING = '{"jsonrpc":"2.0","id":0,"method":"rpc.ping"}';

/**
 * Find out whether POSTs are answered, and listen.
 * @param {URL} endpoint
 * @param {string | null} token
 * @param {import("./socket.js").WayEvents} events
 * @returns {Promise<import("./socket.js").Way>}
 * @throws {Refused} the other end wants no such caller.
 * @throws {Error} nobody answers.
 */
export async function openPost(endpoint, token, events) {
  const way = new Post(endpoint, token, events);
  await way.probe();
  way.listen();
  return way;
}

class Post {
  name = /** @type {const} */ ("post");
  credits = false;
  #endpoint;
  #token;
  #events;
  #closing = new AbortController();
  #requests = new Map();

  constructor(endpoint, token, events) {
    this.#endpoint = endpoint;
    this.#token = token;
    this.#events = events;
  }

  /** Ask whether somebody answers. */
  async probe() {
    const response = await this.#post(PING, "application/json", this.#closing.signal);
    await response.body?.cancel();
    if (response.status === 401 || response.status === 403) throw new Refused(`HTTP ${response.status}`);
    if (!response.ok && response.status !== 400) throw new Error(`HTTP ${response.status}`);
  }

  async listen() {
    const { signal } = this.#closing;
    let last = /** @type {string | null} */ (null);
    while (!signal.aborted) {
      try {
        const headers = this.#headers("text/event-stream");
        if (last !== null) headers.set("Last-Event-ID", last);
        const response = await fetch(this.#endpoint, { headers, signal });
        if (!response.ok || !response.body) await response.body?.cancel();
        else
          for await (const { id, data } of eventsIn(response.body)) {
            last = id ?? last;
            this.#events.text(data);
          }
      } catch {
        // What it was shows when somebody is asked whether they are there.
      }
      await new Promise((resolve) => setTimeout(resolve, LISTEN_AGAIN));
      if (!signal.aborted) await this.probe().catch((problem) => this.#end(problem));
    }
  }

  async send(text, id, streams) {
    const request = new AbortController();
    if (id !== null) this.#requests.set(id, request);
    try {
      const response = await this.#post(text, streams ? "text/event-stream" : "application/json", request.signal);
      if (response.status === 401) return this.#end(new Refused("HTTP 401"));
      if (response.headers.get("Content-Type")?.startsWith("text/event-stream") && response.body)
        for await (const { data } of eventsIn(response.body)) this.#events.text(data);
      else if (response.ok || response.status === 400) this.#events.text(await response.text());
      else this.#events.failed(id, "denied", `HTTP ${response.status}`);
      this.#events.failed(id, "malformed", "no reply"); // it has none if it still waits for one
    } catch (problem) {
      this.#events.failed(id, "lost", problem.message);
    } finally {
      this.#requests.delete(id);
    }
  }

  abandon(id) {
    this.#requests.get(id)?.abort();
    return true;
  }

  close() {
    this.#end(new Error("closed"));
  }

  #end(problem) {
    this.#closing.abort();
    for (const request of this.#requests.values()) request.abort();
    if (problem instanceof Refused) this.#events.refused(problem.message);
    else this.#events.lost(problem.message);
  }

  #headers(accept) {
    const headers = new Headers({ Accept: accept });
    if (this.#token) headers.set("Authorization", `Bearer ${this.#token}`);
    return headers;
  }

  #post(body, accept, signal) {
    const headers = this.#headers(accept);
    headers.set("Content-Type", "application/json");
    return fetch(this.#endpoint, { method: "POST", headers, body, signal });
  }
}
