/** What grows faster than it can be drawn: the newest are kept, and it is drawn once a frame. */

import { signal } from "./vendor/ui.js";

/** @template T */
export class Feed {
  /** Changes, once a frame at most, when something came. Read it where the feed is drawn. */
  version = signal(0);
  /** How many came in all. */
  count = 0;
  #limit;
  /** @type {T[]} */
  #items = [];
  #isDue = false;

  /** @param {number} limit how many are kept. */
  constructor(limit) {
    this.#limit = limit;
  }

  /** @param {T} item */
  push(item) {
    this.count++;
    this.#items.push(item);
    if (this.#items.length >= 2 * this.#limit) this.#items = this.#items.slice(-this.#limit);
    this.#draw();
  }

  clear() {
    this.#items = [];
    this.count = 0;
    this.#draw();
  }

  /**
   * The newest, oldest first.
   * @param {number} [most]
   */
  newest(most = this.#limit) {
    return this.#items.slice(-Math.min(most, this.#limit));
  }

  #draw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.version.value++;
    });
  }
}
