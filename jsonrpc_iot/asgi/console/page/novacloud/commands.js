/** Commands to devices: sending one, and the life of each as it goes on. */

import { Ago, numberText, timeText, useAnswer, useEvery, usePushes, useSeldom } from "../live.js";
import { parse } from "../messages.js";
import { html, useState } from "../vendor/ui.js";
import { t } from "../words.js";
import { DeviceLink, methodsOf, Problem, textOf, useDevices } from "./shared.js";

const ROWS = 25;
const MOST = 500;
const FRESH = 1000; // milliseconds between two questions while commands change
const OPEN = ["QUEUED", "SENT", "PENDING"];

/** What somebody wrote, as the actuator wants it: JSON where it may be that, else a text. */
function valueOf(written, type) {
  if (type === "string") return written;
  try {
    return parse(written);
  } catch {
    if (type) throw new Error(t("send.json.bad"));
    return written;
  }
}

function ValueField({ type, problem }) {
  const more = { name: "value", "aria-invalid": !!problem, "aria-describedby": "command-problem" };
  if (type === "boolean") return html`<select ...${more}><option>true</option><option>false</option></select>`;
  if (type === "number") return html`<input ...${more} type="number" step="any" required />`;
  return html`<input ...${more} placeholder=${type === "string" ? "" : t("send.json")} />`;
}

/** The form that sends a command to a device. */
function Send({ link, id, onSent }) {
  const { result: actuators, failure } = useAnswer(link, "actuator.list", { device_id: id });
  const [key, setKey] = useState(null);
  const [problem, setProblem] = useState("");
  if (!actuators?.length) return html`<${Problem} failure=${failure} />${actuators && html`<p class="hint">${t("send.none")}</p>`}`;
  const chosen = actuators.find((each) => each.command_key === key) ?? actuators[0];
  const submit = async (event) => {
    event.preventDefault();
    const { value, expires } = event.target.elements;
    try {
      const payload = Object.fromEntries([[chosen.command_key, valueOf(value.value, chosen.type)]]);
      const params = { device_id: id, payload, wait: false, expires: Number(expires.value) };
      await link.call("command.send", params, { timeout: 30 });
      setProblem("");
      onSent();
    } catch (failure) {
      setProblem(failure.data?.message ?? failure.message);
    }
  };
  return html`<form class="send" onSubmit=${submit}>
    <label>${t("send.key")} <select value=${chosen.command_key} onChange=${(event) => setKey(event.target.value)}>
      ${actuators.map(({ command_key: each }) => html`<option key=${each}>${each}</option>`)}
    </select></label>
    <label>${t("send.value")} <${ValueField} key=${chosen.command_key} type=${chosen.type} problem=${problem} /></label>
    <label>${t("send.expires")} <input name="expires" type="number" min="1" max="31536000" defaultValue="300" required /></label>
    <button class="primary">${t("send")}</button>
    <p class="trouble" id="command-problem" role="alert">${problem}</p>
  </form>`;
}

/** Queued, sent, perhaps pending, and what came of it: how far it has come. */
function Life({ command: { status, created, sent, finished, wasPending } }) {
  const isOver = !OPEN.includes(status);
  const steps = [["QUEUED", created], (sent || !isOver) && ["SENT", sent], wasPending && ["PENDING"], isOver && [status, finished]];
  return html`<ol class="life" data-status=${status}>
    ${steps.map(
      (each) => each && html`<li key=${each[0]} aria-current=${each[0] === status ? "step" : null}
        title=${timeText(each[1])}>${t(`status.${each[0]}`)}</li>`,
    )}
  </ol>`;
}

function Command({ command, device, onCancel }) {
  const { command: told, payload, status, created, finished, message_type: type } = command;
  const text = textOf(told);
  return html`<li class="row command">
    <bdi class="name">${type} ${text}</bdi>
    <span class="hint">${device && html`<${DeviceLink} id=${command.device_id} name=${device.name} /> · `}<${Ago} at=${created} />
      ${finished && ` · ${numberText(Math.round((finished - created) * 1000) / 1000)} s`}</span>
    <${Life} command=${command} />
    ${status === "QUEUED" && onCancel &&
      html`<button type="button" class="quiet" onClick=${() => onCancel(command)} aria-label=${`${t("cancel")}: ${text}`}>${t("cancel")}</button>`}
    ${payload !== null && html`<bdi class="answer">${textOf(payload, 2000)}</bdi>`}
  </li>`;
}

/** Commands, the newest first, as they are now. */
function useCommands(link, id, limit) {
  const [commands, setCommands] = useState(/** @type {any[]} */ ([]));
  const [pending, setPending] = useState(/** @type {string[]} */ ([]));
  const { result, failure, again } = useAnswer(link, "command.list", { limit, device_id: id }, setCommands);
  const fresh = useSeldom(again, FRESH);
  useEvery(again, 15_000);
  usePushes(link, (method, { command_id, device_id, status, payload }) => {
    if (method !== "command.update" || (id && device_id !== id)) return;
    if (status === "PENDING") setPending((before) => [...before, command_id].slice(-MOST));
    setCommands((before) => before.map((each) => (each.command_id === command_id ? { ...each, status, payload } : each)));
    fresh();
  });
  const wasPending = ({ command_id, status }) => status === "PENDING" || pending.includes(command_id);
  const rows = commands.map((each) => ({ ...each, wasPending: wasPending(each) }));
  return { commands: rows, failure, again, isThere: result !== undefined };
}

/**
 * The commands of a device with a form for the next one, or those of all devices.
 * @param {{link: import("../link.js").Link, methods: Map<string, any>, id?: string}} props
 */
export function Commands({ link, methods, id }) {
  const [limit, setLimit] = useState(ROWS);
  const [problem, setProblem] = useState(null);
  const { commands, failure, again, isThere } = useCommands(link, id, limit);
  const known = useDevices(link, id ? [] : commands);
  const cancel = async ({ command_id }) => {
    setProblem(null);
    await link.call("command.cancel", { command_id }, { timeout: 30 }).catch(setProblem);
    again();
  };
  const newest = id && commands[0];
  const Heading = id ? "h3" : "h2";
  return html`<section class=${id ? "card" : "page"} aria-labelledby="commands">
    <${Heading} id="commands">${t("view.commands")}</${Heading}>
    ${id && methods.has("command.send") && methods.has("actuator.list") && html`<${Send} link=${link} id=${id} onSent=${again} />`}
    <${Problem} failure=${problem ?? failure} />
    ${newest && html`<p class="visually-hidden" role="status">${textOf(newest.command)}: ${t(`status.${newest.status}`)}</p>`}
    ${isThere && !commands.length && html`<p class="empty">${t("commands.none")}</p>`}
    <ul class="rows">
      ${commands.map(
        (each) => html`<${Command} key=${each.command_id} command=${each} onCancel=${methods.has("command.cancel") && cancel}
          device=${!id && { name: known.get(each.device_id)?.name }} />`,
      )}
    </ul>
    ${commands.length === limit && limit < MOST && html`<button type="button" onClick=${() => setLimit(limit * 2)}>${t("older")}</button>`}
  </section>`;
}

/**
 * The view of the commands of all devices.
 * @param {import("./shared.js").ViewProps} props
 */
export default function AllCommands({ link, device }) {
  return html`<${Commands} link=${link} methods=${methodsOf(device)} />`;
}
