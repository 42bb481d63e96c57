/** What is wrong with a value that a schema bounds, as a word of the page and what is put into it. */

/** @typedef {{word: string, values?: Record<string, unknown>} | {said: string}} Trouble */

/**
 * A schema's bounds that are numbers; a stranger's may be anything.
 * @param {import("../document.js").Schema} schema
 * @returns {Record<string, any>} each a number, where it is there
 */
export function numbersOf(schema) {
  return Object.fromEntries(Object.entries(schema).filter(([, value]) => typeof value === "number"));
}

/**
 * @param {number} number
 * @param {import("../document.js").Schema} schema
 * @returns {Trouble | null}
 */
export function numberTrouble(number, schema) {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = numbersOf(schema);
  const trouble = (word, bound) => ({ word, values: { bound } });
  if (number < minimum) return trouble("field.least", minimum);
  if (number > maximum) return trouble("field.most", maximum);
  if (number <= exclusiveMinimum) return trouble("field.above", exclusiveMinimum);
  if (number >= exclusiveMaximum) return trouble("field.below", exclusiveMaximum);
  const steps = multipleOf > 0 ? number / multipleOf : 0;
  if (Math.abs(steps - Math.round(steps)) > 1e-9) return trouble("field.multiple", multipleOf);
  return null;
}

/**
 * @param {string} text
 * @param {import("../document.js").Schema} schema
 * @returns {Trouble | null}
 */
export function textTrouble(text, schema) {
  const { minLength, maxLength } = numbersOf(schema);
  const length = [...text].length;
  if (length < minLength) return { word: "field.longer", values: { bound: minLength, length } };
  if (length > maxLength) return { word: "field.shorter", values: { bound: maxLength, length } };
  return null; // a pattern of the other end's own could keep this page busy for ever: it checks that itself
}

/**
 * A schema's bounds in the fewest signs, "0 – 100".
 * @param {import("../document.js").Schema} schema
 */
export function boundsOf(schema) {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength, maxLength } = numbersOf(schema);
  const low = minimum ?? minLength ?? (exclusiveMinimum === undefined ? undefined : `> ${exclusiveMinimum}`);
  const high = maximum ?? maxLength ?? (exclusiveMaximum === undefined ? undefined : `< ${exclusiveMaximum}`);
  if (low !== undefined && high !== undefined) return `${low} – ${high}`;
  if (low !== undefined) return String(low).startsWith(">") ? low : `≥ ${low}`;
  if (high !== undefined) return String(high).startsWith("<") ? high : `≤ ${high}`;
  return "";
}
