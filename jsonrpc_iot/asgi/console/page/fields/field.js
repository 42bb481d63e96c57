/** Fields as people see them. */

import { html } from "../vendor/ui.js";
import { t } from "../words.js";
import { boundsOf, numbersOf } from "./check.js";
import { ArrayNode, ChoiceNode, ObjectNode, TextNode, UnionNode } from "./node.js";

const LONGEST_DEFAULT = 40;

/**
 * A field with its name, what is known of it, and what is wrong with it.
 * @param {{node: import("./node.js").Node, name?: string, onRemove?: () => void}} props
 */
export function Field({ node, name = node.name, onRemove }) {
  const isGroup = !(node instanceof TextNode || node instanceof ChoiceNode);
  const tools = html`<${NullSwitch} node=${node} />
    ${onRemove && html`<button type="button" class="quiet remove" onClick=${onRemove}>${t("field.remove")}</button>`}`;
  const control = !node.isNull.value && html`<${Control} node=${node} />`;
  if (isGroup)
    return html`<fieldset class="field group" id=${node.id} tabindex="-1" data-kind=${node.kind}>
      <legend class="field-name">${name}<${Hints} node=${node} /></legend>${tools}<${About} node=${node} /><${Wrong} node=${node} />${control}
    </fieldset>`;
  return html`<div class="field" data-kind=${node.kind}>
    <div class="field-head"><label class="field-name" for=${node.id}>${name}</label><${Hints} node=${node} />${tools}</div>
    ${control}<${Wrong} node=${node} /><${About} node=${node} />
  </div>`;
}

/** The members of an object, without a frame around them. */
export function Members({ node }) {
  const parts = [...node.parts().values()].filter((each) => !isFixed(each));
  return parts.map((each) => html`<${Field} key=${each.id} node=${each} />`);
}

/** What can have but one value needs nobody to write it. */
function isFixed(node) {
  return node instanceof ChoiceNode && node.required && node.choices.length === 1;
}

/** @param {{node: any}} props */
function Control({ node }) {
  if (node instanceof ObjectNode) return html`<${ObjectControl} node=${node} />`;
  if (node instanceof ArrayNode) return html`<${ArrayControl} node=${node} />`;
  if (node instanceof UnionNode) return html`<${UnionControl} node=${node} />`;
  if (node instanceof ChoiceNode) return html`<${ChoiceControl} node=${node} />`;
  return html`<${TextControl} node=${node} />`;
}

function TextControl({ node }) {
  const { minimum, maximum, maxLength = 0 } = numbersOf(node.schema);
  const isNumber = node.kind === "integer" || node.kind === "number";
  const common = {
    ...described(node),
    value: node.text.value,
    onInput: (event) => (node.text.value = event.currentTarget.value),
    placeholder: defaultOf(node),
    autocomplete: "off",
    spellcheck: false,
  };
  if (node.kind === "json" || maxLength > 200) return html`<textarea ...${common} rows="3"></textarea>`;
  if (!isNumber) return html`<input type="text" ...${common} />`;
  const input = html`<input type="text" class="number" inputmode=${minimum >= 0 && node.kind === "integer" ? "numeric" : "text"} ...${common} />`;
  if (minimum === undefined || maximum === undefined) return input;
  // The slider sets the same number; keys reach it by the field beside it.
  const step = node.kind === "integer" ? 1 : (maximum - minimum) / 100;
  const chosen = node.text.value.trim() === "" ? (numbersOf(node.schema).default ?? minimum) : node.text.value;
  return html`<div class="ranged">${input}<input type="range" min=${minimum} max=${maximum} step=${step} value=${chosen}
    tabindex="-1" aria-hidden="true" onInput=${common.onInput} /></div>`;
}

function ChoiceControl({ node }) {
  const isRequired = node.required && node.kind === "boolean";
  const choose = (event) => (node.choice.value = Number(event.currentTarget.value));
  if (isRequired)
    return html`<input type="checkbox" ...${described(node)} checked=${node.choice.value === 1}
      onChange=${(event) => (node.choice.value = Number(event.currentTarget.checked))} />`;
  const none = node.required ? t("field.choose") : leftOut(node);
  return html`<select ...${described(node)} value=${node.choice.value} onChange=${choose}>
    <option value="-1">${none}</option>
    ${node.choices.map((each, index) => html`<option key=${index} value=${index}>${shown(each)}</option>`)}
  </select>`;
}

function ObjectControl({ node }) {
  const include = (event) => (node.isThere.value = event.currentTarget.checked);
  return html`${!node.required && html`<label class="switch"><input type="checkbox" checked=${node.isThere.value}
      onChange=${include} /> ${t("field.include")}</label>`}
    ${node.isThere.value && html`<${Members} node=${node} />`}`;
}

function ArrayControl({ node }) {
  const { maxItems = Infinity } = numbersOf(node.schema);
  return html`<ol class="items" start="0">
      ${node.items.value.map((each, index) => html`<li key=${each.id}><${Field} node=${each} name=${`${node.name}[${index}]`} onRemove=${() => node.remove(each)} /></li>`)}
    </ol>
    ${node.items.value.length < maxItems && html`<button type="button" class="quiet" onClick=${() => node.add()}>${t("field.add")}</button>`}`;
}

function UnionControl({ node }) {
  const choose = (event) => (node.choice.value = Number(event.currentTarget.value));
  const variant = node.variant();
  return html`<select aria-label=${t("field.variant")} value=${node.choice.value} onChange=${choose}>
      ${!node.required && html`<option value="-1">${leftOut(node)}</option>`}
      ${node.choices.map((_, index) => html`<option key=${index} value=${index}>${node.label(index)}</option>`)}
    </select>
    ${variant && (variant instanceof ObjectNode ? html`<${Members} node=${variant} />` : html`<${Field} key=${variant.id} node=${variant} />`)}`;
}

function NullSwitch({ node }) {
  const isNeedless = !node.nullable || (!node.required && node.schema.default === null);
  if (isNeedless) return null;
  const change = (event) => (node.isNull.value = event.currentTarget.checked);
  return html`<label class="switch"><input type="checkbox" checked=${node.isNull.value} onChange=${change} /> null</label>`;
}

function Hints({ node }) {
  const type = node.kind === "text" ? "string" : node.kind === "json" ? "JSON" : node.kind;
  const { format, pattern } = node.schema;
  const hints = [type, boundsOf(node.schema), format, pattern].filter((each) => typeof each === "string" && each);
  const more = (node.nullable ? " | null" : "") + (node.required ? "" : ` · ${t("field.optional")}`);
  return html`<span class="hint" id=${`${node.id}-hint`}>${hints.join(" · ").slice(0, 120)}${more}</span>`;
}

function About({ node }) {
  const { description } = node.schema;
  return typeof description === "string" && html`<p class="about" id=${`${node.id}-about`}>${description.slice(0, 2000)}</p>`;
}

function Wrong({ node }) {
  const trouble = node.trouble.value;
  if (!trouble) return null;
  return html`<p class="trouble" id=${`${node.id}-trouble`}>${"said" in trouble ? trouble.said : t(trouble.word, trouble.values)}</p>`;
}

function described(node) {
  const isWrong = node.trouble.value !== null;
  return {
    id: node.id,
    "data-name": node.name, // a `name` would hide what a form has under it
    "aria-describedby": `${node.id}-trouble ${node.id}-hint ${node.id}-about`,
    "aria-invalid": isWrong,
    "aria-required": node.required,
  };
}

function defaultOf(node) {
  return Object.hasOwn(node.schema, "default") ? shown(node.schema.default) : "";
}

/** What stands for no value, and which one holds then. */
function leftOut(node) {
  const value = defaultOf(node);
  return value === "" ? t("field.absent") : t("field.default", { value });
}

function shown(value) {
  return (typeof value === "string" ? value : JSON.stringify(value)).slice(0, LONGEST_DEFAULT);
}
