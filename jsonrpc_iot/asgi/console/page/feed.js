/** What grows faster than it can be drawn: the newest are kept, and it is drawn once a frame. */

import { signal } from "./vendor/ui.js";

const LARGEST = 16e6; // characters of all texts

/** @template {{text: string}} T */
export class Feed {
  /** Changes, once a frame at most, when something came. Read it where the feed is drawn. */
  version = signal(0);
  /** How many came in all. */
  count = 0;
  #limit;
  /** @type {T[]} */
  #items = [];
  #size = 0;
  #isDue = false;

  /** @param {number} limit how many are kept; fewer where their texts are long. */
  constructor(limit) {
    this.#limit = limit;
  }

  /** @param {T} item */
  push(item) {
    this.count++;
    this.#items.push(item);
    this.#size += item.text.length;
    if (this.#items.length >= 2 * this.#limit || this.#size > 2 * LARGEST) this.#forget();
    this.#draw();
  }

  /** Keep the newest alone. Now and then, since each time costs as much as all that is kept. */
  #forget() {
    let first = this.#items.length - 1;
    this.#size = this.#items[first].text.length;
    while (this.#items.length - first < this.#limit && this.#size + this.#items[first - 1]?.text.length <= LARGEST)
      this.#size += this.#items[--first].text.length;
    this.#items = this.#items.slice(first);
  }

  clear() {
    this.#items = [];
    this.count = this.#size = 0;
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
