/**
 * What the other end says it can do: its OpenRPC document, read so that nothing in it can do harm.
 *
 * Whoever wrote it may have written anything: other types than the standard has, references in circles, names like
 * `__proto__`, texts without end. What cannot be understood is left out.
 */

const HOPS = 20;
const LONGEST_TEXT = 20_000;
const EFFECTS = ["read", "change", "danger"];

/** @typedef {Record<string, any>} Schema a JSON schema, at least an object */

/**
 * @typedef {object} Param
 * @property {string} name
 * @property {Schema} schema
 * @property {boolean} required
 */

/**
 * @typedef {object} Method
 * @property {string} name
 * @property {string} summary
 * @property {string} description
 * @property {Param[]} params
 * @property {boolean} byPosition whether params go as a list
 * @property {boolean} streams whether its result comes item by item
 * @property {boolean} deprecated
 * @property {"read" | "change" | "danger" | null} effect
 * @property {string[]} tags
 * @property {{code: unknown, message: string}[]} errors
 * @property {{name: string, params: Map<string, unknown>}[]} examples
 * @property {boolean} isBare whether nothing is known of it but its name
 * @property {string} print changes when the method does
 */

/**
 * @typedef {object} Description
 * @property {string} title
 * @property {string} version
 * @property {string} description
 * @property {Map<string, Method>} methods
 * @property {{name: string, direction: string, schema: Schema}[]} notifications
 * @property {Schemas} schemas
 */

/** Finds what a schema refers to. */
export class Schemas {
  #document;
  /** Changes when what is referred to does. */
  print;

  /** @param {unknown} document */
  constructor(document) {
    this.#document = document;
    this.print = JSON.stringify(objectOf(document).components);
  }

  /**
   * The schema that is meant, with what stands beside a reference. Only the outermost is looked up, so that one that
   * holds itself is no matter.
   * @param {unknown} schema
   * @returns {Schema}
   */
  resolve(schema) {
    let found = objectOf(schema);
    for (let hop = 0; typeof found.$ref === "string"; hop++) {
      if (hop === HOPS) return {};
      const { $ref, ...beside } = found;
      found = { ...objectOf(this.#at($ref)), ...beside };
    }
    const parts = listOf(found.allOf);
    if (parts.length !== 1) return found;
    const { allOf, ...beside } = found;
    return { ...objectOf(typeof parts[0]?.$ref === "string" ? this.#at(parts[0].$ref) : parts[0]), ...beside };
  }

  #at(reference) {
    if (!reference.startsWith("#/")) return null;
    let found = this.#document;
    for (const part of reference.slice(2).split("/")) {
      const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
      if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return null;
      found = found[name];
    }
    return found;
  }
}

/**
 * Read a document.
 * @param {unknown} document
 * @returns {Description}
 */
export function describe(document) {
  const { info, methods, "x-notifications": notifications } = objectOf(document);
  const { title, version, description } = objectOf(info);
  const schemas = new Schemas(document);
  const read = listOf(methods)
    .map((each) => methodOf(each, schemas))
    .filter((each) => each !== null)
    .sort((one, other) => order(one.name, other.name));
  return {
    title: textOf(title),
    version: textOf(version),
    description: textOf(description),
    methods: new Map(read.map((each) => [each.name, each])),
    notifications: listOf(notifications).map(notificationOf).filter((each) => each.name),
    schemas,
  };
}

/**
 * What is known of a device that says no more than the names of its methods.
 * @param {unknown} names
 * @returns {Description}
 */
export function describeNames(names) {
  const description = describe({ methods: listOf(names).map((name) => ({ name })) });
  for (const method of description.methods.values()) method.isBare = true;
  return description;
}

function methodOf(value, schemas) {
  const said = objectOf(value);
  if (typeof said.name !== "string" || said.name === "") return null;
  const effect = said["x-effect"];
  return {
    name: said.name,
    summary: textOf(said.summary),
    description: textOf(said.description),
    params: listOf(said.params).map((each) => paramOf(each, schemas)).filter((each) => each.name),
    byPosition: said.paramStructure === "by-position",
    streams: Boolean(said["x-stream"]),
    deprecated: said.deprecated === true,
    effect: EFFECTS.includes(effect) ? effect : null,
    tags: listOf(said.tags).map((each) => textOf(objectOf(each).name)).filter(Boolean),
    errors: listOf(said.errors).map(objectOf).map(({ code, message }) => ({ code, message: textOf(message) })),
    examples: listOf(said.examples).map(exampleOf),
    isBare: false,
    print: JSON.stringify(said),
  };
}

function paramOf(value, schemas) {
  const said = schemas.resolve(value);
  const schema = objectOf(said.schema);
  const description = textOf(said.description) || schema.description;
  return {
    name: textOf(said.name),
    schema: description ? { ...schema, description } : schema,
    required: said.required === true,
  };
}

function exampleOf(value) {
  const { name, params } = objectOf(value);
  const pairs = listOf(params).map(objectOf).map((each) => /** @type {const} */ ([textOf(each.name), each.value]));
  return { name: textOf(name), params: new Map(pairs) };
}

function notificationOf(value) {
  const { name, direction, schema, summary } = objectOf(value);
  return { name: textOf(name), direction: textOf(direction), schema: objectOf(schema), summary: textOf(summary) };
}

/** The protocol's own methods come last. */
function order(one, other) {
  const [first, second] = [one, other].map((name) => Number(name.startsWith("rpc.")));
  return first - second || (one < other ? -1 : Number(one > other));
}

/** @returns {Record<string, any>} */
function objectOf(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

/** @returns {any[]} */
function listOf(value) {
  return Array.isArray(value) ? value : [];
}

function textOf(value) {
  return typeof value === "string" ? value.slice(0, LONGEST_TEXT) : "";
}
