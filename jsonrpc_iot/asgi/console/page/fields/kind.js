/** Which form a schema has. */

const DEEPEST = 6;
const MOST_CHOICES = 500;
const MOST_MEMBERS = 100;
const MOST_VARIANTS = 20;
const PLAIN = ["string", "integer", "number", "boolean"];

/**
 * @typedef {import("../document.js").Schema} Schema
 * @typedef {import("../document.js").Schemas} Schemas
 */

/**
 * @typedef {object} Kind
 * @property {"text" | "integer" | "number" | "boolean" | "enum" | "object" | "array" | "union" | "json"} kind
 * @property {Schema} schema without what says that it may be null
 * @property {boolean} nullable
 * @property {unknown[]} choices of an enum, or the schemas of a union
 */

/**
 * What kind of field a schema gets. JSON is what has no form of its own, or lies too deep.
 * @param {unknown} schema
 * @param {Schemas} schemas
 * @param {number} depth in how many others it stands.
 * @returns {Kind}
 */
export function kindOf(schema, schemas, depth = 0) {
  const { schema: plain, nullable } = withoutNull(schemas.resolve(schema), schemas);
  const as = (kind, choices = []) => ({ kind, schema: plain, nullable, choices });
  if (depth > DEEPEST) return as("json");
  const choices = choicesOf(plain);
  if (choices) return choices.length <= MOST_CHOICES ? as("enum", choices) : as("json");
  const variants = variantsOf(plain);
  if (variants) return variants.length <= MOST_VARIANTS ? as("union", variants) : as("json");
  if (plain.type === "string") return as("text");
  if (PLAIN.includes(plain.type)) return as(plain.type);
  if (isList(plain)) return as("array");
  if (hasMembers(plain)) return as("object");
  return as("json");
}

/** Take out of a schema that its value may be null. */
function withoutNull(schema, schemas) {
  if (Array.isArray(schema.type) && schema.type.includes("null")) {
    const types = schema.type.filter((each) => each !== "null");
    return { schema: { ...schema, type: types.length === 1 ? types[0] : types }, nullable: true };
  }
  const word = Array.isArray(schema.anyOf) ? "anyOf" : "oneOf";
  const variants = Array.isArray(schema[word]) ? schema[word] : [];
  const others = variants.filter((each) => each?.type !== "null");
  if (variants.length === 0 || (others.length === variants.length && others.length > 1))
    return { schema, nullable: schema.nullable === true };
  const nullable = others.length < variants.length;
  if (others.length !== 1) return { schema: { ...schema, [word]: others }, nullable };
  const { [word]: _, ...beside } = schema;
  const inner = withoutNull({ ...schemas.resolve(others[0]), ...beside }, { resolve: (each) => each ?? {} });
  return { schema: inner.schema, nullable: nullable || inner.nullable };
}

function choicesOf(schema) {
  if (Object.hasOwn(schema, "const")) return [schema.const];
  return Array.isArray(schema.enum) && schema.enum.length > 0 ? schema.enum : null;
}

function variantsOf(schema) {
  for (const word of ["anyOf", "oneOf"]) if (Array.isArray(schema[word]) && schema[word].length > 1) return schema[word];
  if (Array.isArray(schema.type) && schema.type.length > 1) return schema.type.map((type) => ({ ...schema, type }));
  return null;
}

function isList({ type, items, prefixItems }) {
  return type === "array" && prefixItems === undefined && typeof items === "object" && items && !Array.isArray(items);
}

function hasMembers({ type, properties }) {
  const isObject = (type === "object" || type === undefined) && typeof properties === "object" && properties !== null;
  return isObject && Object.keys(properties).length > 0 && Object.keys(properties).length <= MOST_MEMBERS;
}
