/**
 * A form as a tree of fields: what stands in each, and the value that they make.
 *
 * A field that is optional and left alone gives no value. Members of objects, items and variants are made when they
 * are first wanted, so that a schema that holds itself ends where nobody looks further.
 */

import { parse } from "../messages.js";
import { signal } from "../vendor/ui.js";
import { numberTrouble, textTrouble } from "./check.js";
import { kindOf } from "./kind.js";

/** Stands for no value at all. */
export const ABSENT = Symbol("absent");

let made = 0;

/** A field of any kind. */
export class Node {
  /** An id for the page. */
  id = `field-${++made}`;
  /** Whether null was chosen. */
  isNull = signal(false);
  /** What is wrong with it. */
  trouble = signal(/** @type {import("./check.js").Trouble | null} */ (null));

  /**
   * @param {string} name
   * @param {import("./kind.js").Kind} kind
   * @param {boolean} required
   */
  constructor(name, kind, required) {
    this.name = name;
    this.kind = kind.kind;
    this.schema = kind.schema;
    this.nullable = kind.nullable;
    this.required = required;
  }

  /** The value, or ABSENT; fields in which something is wrong are added to `wrong`. */
  value(/** @type {Node[]} */ wrong) {
    this.trouble.value = null;
    if (this.isNull.value) return null;
    const value = this.read(wrong);
    const isMissing = value === ABSENT && this.required && !this.trouble.peek();
    return isMissing ? this.refuse(wrong, { word: "field.required" }) : value;
  }

  /** Put a value in. */
  set(/** @type {any} */ value) {
    this.trouble.value = null;
    this.isNull.value = value === null && this.nullable;
    if (!this.isNull.value) this.write(value);
  }

  /** The fields that it consists of. */
  parts() {
    return /** @type {Map<string, Node>} */ (new Map());
  }

  /** @returns {any} */
  read(/** @type {Node[]} */ _wrong) {
    return ABSENT;
  }

  write(/** @type {any} */ _value) {}

  refuse(wrong, trouble) {
    this.trouble.value = trouble;
    wrong.push(this);
    return ABSENT;
  }
}

/** Text, a number, or JSON. */
export class TextNode extends Node {
  text = signal("");

  read(wrong) {
    const text = this.text.value;
    if (this.kind === "text") return text === "" && !this.required ? ABSENT : this.#checked(text, textTrouble, wrong);
    const written = text.trim();
    if (written === "") return ABSENT;
    if (this.kind === "json") {
      try {
        return parse(written);
      } catch (problem) {
        return this.refuse(wrong, { word: "field.json", values: { reason: problem.message } });
      }
    }
    const isNumber = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(written) && Number.isFinite(Number(written));
    if (!isNumber) return this.refuse(wrong, { word: "field.number" });
    if (this.kind === "integer" && !Number.isInteger(Number(written)))
      return this.refuse(wrong, { word: "field.integer" });
    const isLarge = /^-?[1-9]\d*$/.test(written) && !Number.isSafeInteger(Number(written));
    const number = this.#checked(Number(written), numberTrouble, wrong);
    return isLarge && number !== ABSENT ? parse(written) : number;
  }

  write(value) {
    this.text.value = this.kind === "json" ? JSON.stringify(value, null, 2) : textOf(value);
  }

  #checked(value, troubleOf, wrong) {
    const trouble = troubleOf(value, this.schema);
    return trouble ? this.refuse(wrong, trouble) : value;
  }
}

/** One of several values: an enum's, or true and false. */
export class ChoiceNode extends Node {
  /** The index of the value; -1 is none. */
  choice = signal(-1);

  constructor(name, kind, required) {
    super(name, kind, required);
    this.choices = kind.kind === "boolean" ? [false, true] : kind.choices;
    if (required && (kind.kind === "boolean" || this.choices.length === 1)) this.choice.value = 0;
  }

  read() {
    return this.choice.value < 0 ? ABSENT : this.choices[this.choice.value];
  }

  write(value) {
    const text = JSON.stringify(value);
    this.choice.value = this.choices.findIndex((each) => JSON.stringify(each) === text);
  }
}

/** What has fields within: an object, a list, or a union. */
class Composed extends Node {
  constructor(name, kind, required, schemas, depth) {
    super(name, kind, required);
    this.schemas = schemas;
    this.depth = depth;
  }

  within(name, schema, required) {
    return nodeFor(name, schema, required, this.schemas, this.depth + 1);
  }
}

export class ObjectNode extends Composed {
  /** Whether an optional one is there. */
  isThere = signal(this.required);
  /** @type {Map<string, Node> | null} */
  #members = null;

  parts() {
    if (!this.#members) {
      const { properties, required } = this.schema;
      const needed = new Set(Array.isArray(required) ? required : []);
      const pairs = Object.entries(properties);
      this.#members = new Map(pairs.map(([name, each]) => [name, this.within(name, each, needed.has(name))]));
    }
    return this.#members;
  }

  read(wrong) {
    return this.isThere.value ? this.readAll(wrong) : ABSENT;
  }

  readAll(wrong) {
    const made = Object.create(null); // in which `__proto__` is a name like others
    for (const [name, part] of this.parts()) {
      const value = part.value(wrong);
      if (value !== ABSENT) made[name] = value;
    }
    return made;
  }

  write(value) {
    this.isThere.value = true;
    if (typeof value !== "object" || value === null) return;
    for (const [name, part] of this.parts()) if (Object.hasOwn(value, name)) part.set(value[name]);
  }
}

export class ArrayNode extends Composed {
  items = signal(/** @type {Node[]} */ ([]));

  parts() {
    return new Map(this.items.value.map((each, index) => [String(index), each]));
  }

  add() {
    const item = this.within("", this.schema.items, true);
    this.items.value = [...this.items.value, item];
    return item;
  }

  remove(/** @type {Node} */ item) {
    this.items.value = this.items.value.filter((each) => each !== item);
  }

  read(wrong) {
    const values = this.items.value.map((each) => each.value(wrong));
    return values.length === 0 && !this.required ? ABSENT : values;
  }

  write(value) {
    this.items.value = [];
    if (Array.isArray(value)) for (const each of value.slice(0, 100)) this.add().set(each);
  }
}

export class UnionNode extends Composed {
  /** The index of the variant; -1 is none. */
  choice = signal(this.required ? 0 : -1);
  #variants = new Map();

  constructor(name, kind, required, schemas, depth) {
    super(name, kind, required, schemas, depth);
    this.choices = kind.choices;
  }

  /** The field of the variant that is chosen. */
  variant() {
    const { value } = this.choice;
    if (value >= 0 && !this.#variants.has(value)) this.#variants.set(value, this.within("", this.choices[value], true));
    return /** @type {Node | undefined} */ (this.#variants.get(value));
  }

  /** What a variant is called. */
  label(/** @type {number} */ index) {
    const { title, type, properties } = this.schemas.resolve(this.choices[index]);
    const members = typeof properties === "object" && properties !== null ? Object.values(properties) : [];
    const tag = members.map((each) => this.schemas.resolve(each).enum).find((each) => Array.isArray(each) && each.length === 1);
    if (tag && typeof tag[0] === "string") return tag[0];
    return typeof title === "string" ? title : typeof type === "string" ? type : String(index + 1);
  }

  parts() {
    return this.variant()?.parts() ?? new Map();
  }

  read(wrong) {
    return this.variant()?.value(wrong) ?? ABSENT;
  }

  write(value) {
    const index = this.choices.findIndex((each) => fits(this.schemas.resolve(each), value, this.schemas));
    this.choice.value = Math.max(index, 0);
    this.variant()?.set(value);
  }
}

/**
 * The field for a schema.
 * @param {string} name
 * @param {unknown} schema
 * @param {boolean} required
 * @param {import("../document.js").Schemas} schemas
 * @param {number} [depth] in how many others it stands.
 * @returns {Node}
 */
export function nodeFor(name, schema, required, schemas, depth = 0) {
  const kind = kindOf(schema, schemas, depth);
  if (kind.kind === "enum" || kind.kind === "boolean") return new ChoiceNode(name, kind, required);
  if (kind.kind === "object") return new ObjectNode(name, kind, required, schemas, depth);
  if (kind.kind === "array") return new ArrayNode(name, kind, required, schemas, depth);
  if (kind.kind === "union") return new UnionNode(name, kind, required, schemas, depth);
  return new TextNode(name, kind, required);
}

/**
 * The field at a path such as `$.lamps[2].level`, or the nearest that has one around it.
 * @param {Node} root
 * @param {string} path
 */
export function nodeAt(root, path) {
  let found = root;
  for (const [, name, index] of path.matchAll(/\.([^.[\]]+)|\[(\d+)\]/g)) {
    const next = found.parts().get(name ?? index);
    if (!next) return found;
    found = next;
  }
  return found;
}

/** Whether a value may be of a schema, as far as its type and the constants of its members tell. */
function fits(schema, value, schemas) {
  const type = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  if (schema.type === "integer") return Number.isInteger(value);
  if (schema.type !== undefined && schema.type !== type) return false;
  if (type !== "object" || typeof schema.properties !== "object" || schema.properties === null) return true;
  return Object.entries(schema.properties).every(([name, each]) => {
    const { enum: choices } = schemas.resolve(each);
    return !Object.hasOwn(value, name) || !Array.isArray(choices) || choices.includes(value[name]);
  });
}

function textOf(value) {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
