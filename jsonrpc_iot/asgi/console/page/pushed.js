/**
 * What the other end has pushed: the newest notifications, and every number in them. Both are bounded, whatever comes.
 */

const KEPT = 2000; // notifications
const TEXT = 4000; // characters of each
const WHOLE = 8; // of those that are longer, the newest are kept whole
const GROUPS = 32;
const FIELDS = 24; // of one group
const ROWS = 4000; // of one group
const LOOKED_AT = 500; // values of one notification
const LARGEST = 1e6; // characters of what is cut
const DEEP = 5;
const ENTRIES = 8; // of one array

/**
 * Write a value as JSON, and stop where it is long: what is not written is not even looked at.
 * @param {unknown} value
 * @param {number} room characters.
 * @returns {{text: string, isWhole: boolean}}
 */
export function brief(value, room) {
  const parts = [];
  const put = (text) => (parts.push(text), (room -= text.length) >= 0);
  const isWhole = write(value, put, () => room, 0);
  return { text: parts.join(""), isWhole };
}

/**
 * Write a value as JSON; one that is deeper than a browser can follow is cut.
 * @param {unknown} value
 * @param {number} [indent]
 */
export function jsonOf(value, indent) {
  try {
    return JSON.stringify(value, null, indent);
  } catch {
    return brief(value, LARGEST).text;
  }
}

/** @returns {boolean} whether all of it was written. */
function write(value, put, room, depth) {
  if (typeof value === "string") {
    const isShort = value.length <= room();
    return put(JSON.stringify(isShort ? value : value.slice(0, room()))) && isShort;
  }
  if (value === null || typeof value !== "object") return put(String(value));
  if (JSON["isRawJSON"]?.(value)) return put(value.rawJSON);
  if (depth > 100) return put("…") && false;
  const isList = Array.isArray(value);
  if (!put(isList ? "[" : "{")) return false;
  let before = "";
  for (const [name, each] of members(value)) {
    if (!put(isList ? before : `${before}${JSON.stringify(name)}:`)) return false;
    if (!write(each, put, room, depth + 1)) return false;
    before = ",";
  }
  return put(isList ? "]" : "}");
}

/** The members of an object or an array, one at a time: whoever stops early has no cost of the others. */
function* members(value) {
  if (Array.isArray(value)) yield* value.entries();
  else for (const name in value) yield [name, value[name]];
}

/** A number that came, also one that needs more digits than a double has; else undefined. */
function numberOf(value) {
  const number = JSON["isRawJSON"]?.(value) ? Number(value.rawJSON) : value;
  return Number.isFinite(number) ? number : undefined;
}

/**
 * The numbers in a value by their paths, such as `motor.speed` or `[0]`; not all where there are many.
 * @param {unknown} value
 * @returns {Map<string, number>}
 */
export function numbersIn(value) {
  const found = new Map();
  let left = LOOKED_AT;
  const visit = (each, path, depth) => {
    const number = numberOf(each);
    if (number !== undefined) return found.set(path, number);
    if (each === null || typeof each !== "object" || depth > DEEP) return;
    const isList = Array.isArray(each);
    for (const [name, member] of members(each)) {
      if ((isList && name >= ENTRIES) || left-- <= 0 || found.size >= FIELDS) return;
      visit(member, isList ? `${path}[${name}]` : path ? `${path}.${name}` : name, depth + 1);
    }
  };
  visit(value, "", 0);
  return found;
}

/** The numbers of one kind of notification, or of one device's: a row for each that came. */
class Group {
  times = /** @type {number[]} */ ([]);
  /** @type {Map<string, (number | null)[]>} */
  fields = new Map();

  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }

  add(at, numbers) {
    for (const path of numbers.keys()) {
      if (!this.fields.has(path) && this.fields.size < FIELDS) this.fields.set(path, this.times.map(() => null));
    }
    this.times.push(at / 1000);
    for (const [path, values] of this.fields) values.push(numbers.get(path) ?? null);
    if (this.times.length > ROWS * 1.25) {
      for (const values of [this.times, ...this.fields.values()]) values.splice(0, values.length - ROWS);
    }
  }
}

const collections = new WeakMap();

/**
 * What a link pushes, from when it is first asked for.
 * @param {import("./link.js").Link} link
 * @returns {Pushed}
 */
export function pushedBy(link) {
  if (!collections.has(link)) collections.set(link, new Pushed(link));
  return /** @type {Pushed} */ (collections.get(link));
}

/** Collects what a link pushes. */
export class Pushed {
  /** @type {{number: number, at: number, method: string, text: string, isWhole: boolean, params?: unknown}[]} */
  recent = [];
  /** @type {Map<string, Group>} */
  groups = new Map();
  /** How many came, how many of these are kept no more, and how many had no room among the groups. */
  total = 0;
  forgotten = 0;
  ungrouped = 0;

  /** @type {(name: string) => boolean} which groups are wanted most. */
  isWanted = () => true;

  #large = /** @type {any[]} */ ([]);
  #hearers = new Set();
  #frame = 0;

  /** @param {import("./link.js").Link} link */
  constructor(link) {
    link.onNotification((notification) => this.add(notification));
  }

  /** @param {{method: string, params: any, at: number}} notification */
  add({ method, params, at }) {
    const { text, isWhole } = brief(params ?? null, TEXT);
    const entry = { number: ++this.total, at, method, text, isWhole };
    if (!isWhole) {
      entry.params = params;
      this.#large.push(entry);
      if (this.#large.length > WHOLE) delete this.#large.shift().params;
    }
    this.recent.push(entry);
    if (this.recent.length > KEPT * 1.25) this.forgotten += this.recent.splice(0, this.recent.length - KEPT).length;
    this.#group(method, params, at);
    if (this.#hearers.size) this.#frame ||= requestAnimationFrame(() => this.#tell());
  }

  /** Forget all that has come. */
  clear = () => {
    this.forgotten = this.total;
    this.recent = [];
    this.#large = [];
    this.groups.clear();
    this.ungrouped = 0;
    this.#tell();
  };

  /**
   * Be called when something has come, once a frame at most.
   * @param {() => void} hearer
   * @returns {() => void} ends it.
   */
  hear = (hearer) => {
    this.#hearers.add(hearer);
    return () => this.#hearers.delete(hearer);
  };

  /** Let a group go that is less wanted than a new one. */
  #makeRoom(name) {
    const unwanted = this.isWanted(name) && [...this.groups.keys()].find((each) => !this.isWanted(each));
    return unwanted && this.groups.delete(unwanted);
  }

  #tell() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const hearer of this.#hearers) hearer();
  }

  #group(method, params, at) {
    const numbers = numbersIn(params);
    if (!numbers.size) return;
    const device = typeof params.device_id === "string" ? ` ${params.device_id.slice(0, 64)}` : "";
    const name = method.slice(0, 200) + device;
    if (!this.groups.has(name)) {
      if (this.groups.size >= GROUPS && !this.#makeRoom(name)) this.ungrouped++;
      else this.groups.set(name, new Group(name));
    }
    this.groups.get(name)?.add(at, numbers);
  }
}
