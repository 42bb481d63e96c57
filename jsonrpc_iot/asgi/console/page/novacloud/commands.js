/** Commands to devices: sending one, and the life of each as it goes on. */

import { html, useState } from "../vendor/ui.js";
import { Ago, numberText, timeText, useAnswer, useEvery, usePushes, useSeldom } from "../live.js";
import { parse } from "../messages.js";
import { t } from "../words.js";
import { DeviceLink, methodsOf, Problem, textOf, useEach, useWish } from "./shared.js";

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
  const more = { id: "command-value", name: "value", "aria-invalid": !!problem, "aria-describedby": "command-problem" };
  if (type === "boolean") {
    return html`<select ...${more}>${["true", "false"].map((each) => html`<option>${each}</option>`)}</select>`;
  }
  if (type === "number") return html`<input ...${more} type="number" step="any" required />`;
  return html`<input ...${more} placeholder=${type === "string" ? "" : t("send.json")} />`;
}

/** The form that sends a command to a device. */
function Send({ link, id, onSent }) {
  const { result: actuators, failure } = useAnswer(link, "actuator.list", { device_id: id });
  const [key, setKey] = useState(null);
  const [problem, setProblem] = useState("");
  const chosen = actuators?.find((each) => each.command_key === key) ?? actuators?.[0];
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
  if (!chosen) return html`<${Problem} failure=${failure} />${actuators && html`<p class="empty">${t("send.none")}</p>`}`;
  return html`<form class="send" onSubmit=${submit}>
    <label>${t("send.key")} <select value=${chosen.command_key} onChange=${(event) => setKey(event.target.value)}>
      ${actuators.map(({ command_key: each }) => html`<option key=${each} value=${each}>${each}</option>`)}
    </select></label>
    <label>${t("send.value")} <${ValueField} key=${chosen.command_key} type=${chosen.type} problem=${problem} /></label>
    <label>${t("send.expires")} <input name="expires" type="number" min="1" max="31536000" value="300" required /></label>
    <button>${t("send")}</button>
    <p class="trouble" id="command-problem" role="alert">${problem}</p>
  </form>`;
}

/** Queued, sent, perhaps pending, and what came of it: how far it has come. */
function Life({ command }) {
  const { status, created, sent, finished, wasPending } = command;
  const isOver = !OPEN.includes(status);
  const steps = [
    ["QUEUED", created, true],
    ["SENT", sent, sent !== null],
    ...(status === "PENDING" || wasPending ? [["PENDING", null, true]] : []),
    [isOver ? status : "…", finished, isOver],
  ];
  return html`<ol class="life" data-status=${status}>
    ${steps.map(
      ([step, at, isReached]) => html`<li key=${step} data-reached=${isReached} aria-current=${step === status && "step"}
        title=${typeof at === "number" ? timeText(at) : ""}>${step === "…" ? html`<span aria-hidden="true">…</span>` : t(`status.${step}`)}</li>`,
    )}
  </ol>`;
}

function Command({ command, device, canCancel, onCancel }) {
  const { command: sent, payload, status, created, finished, message_type: type } = command;
  const took = finished === null ? "" : t("seconds", { count: numberText(Math.round((finished - created) * 1000) / 1000) });
  return html`<li class="command">
    <bdi class="name">${type ? `${type} ` : ""}${textOf(sent)}</bdi>
    ${device && html`<span class="hint"><${DeviceLink} id=${command.device_id} name=${device.name} /></span>`}
    <span class="hint"><${Ago} at=${created} />${took && ` · ${took}`}</span>
    <${Life} command=${command} />
    ${status === "QUEUED" && canCancel && html`<button type="button" class="quiet" onClick=${() => onCancel(command)}
      aria-label=${`${t("cancel")}: ${textOf(sent)}`}>${t("cancel")}</button>`}
    ${payload !== null && payload !== undefined && html`<bdi class="answer">${textOf(payload, 2000)}</bdi>`}
  </li>`;
}

/** Commands, the newest first, as they are now. */
function useCommands(link, id, limit) {
  const [commands, setCommands] = useState([]);
  const [pending, setPending] = useState(new Set());
  const params = { limit, ...(id && { device_id: id }) };
  const { result, failure, again } = useAnswer(link, "command.list", params, setCommands);
  const fresh = useSeldom(again, FRESH);
  useEvery(again, 15_000);
  usePushes(link, (method, { command_id, device_id, status, payload }) => {
    if (method !== "command.update" || (id && device_id !== id)) return;
    if (status === "PENDING") setPending((before) => new Set([...before, command_id].slice(-MOST)));
    setCommands((before) => before.map((each) => (each.command_id === command_id ? { ...each, status, payload } : each)));
    fresh();
  });
  const rows = commands.map((each) => ({ ...each, wasPending: pending.has(each.command_id) }));
  return { commands: rows, failure, again, isThere: result !== undefined };
}

/** The names of devices. */
function useNames(link, ids) {
  const [names, setNames] = useState(new Map());
  const unknown = ids.filter((id) => !names.has(id));
  useEach(link, "device.get", unknown, (id, { name }) => setNames((before) => new Map(before).set(id, name)));
  return names;
}

/**
 * The commands of a device with a form for the next one, or those of all devices.
 * @param {{link: import("../link.js").Link, methods: {has: (name: string) => boolean}, id?: string}} props
 */
export function Commands({ link, methods, id }) {
  const [limit, setLimit] = useState(ROWS);
  const [problem, setProblem] = useState(null);
  const { commands, failure, again, isThere } = useCommands(link, id, limit);
  const names = useNames(link, id ? [] : [...new Set(commands.map((each) => each.device_id))]);
  const cancel = async ({ command_id }) => {
    setProblem(null);
    await link.call("command.cancel", { command_id }, { timeout: 30 }).catch(setProblem);
    again();
  };
  const newest = commands[0];
  const Heading = id ? "h3" : "h2";
  return html`<section class=${id ? "card" : "page"} aria-labelledby="commands-title">
    <div class="bar"><${Heading} id="commands-title">${t("view.commands")}</${Heading}></div>
    ${id && methods.has("command.send") && methods.has("actuator.list") &&
      html`<${Send} link=${link} id=${id} onSent=${again} />`}
    <${Problem} failure=${problem ?? failure} />
    ${id && newest && html`<p class="visually-hidden" role="status">${textOf(newest.command)}: ${t(`status.${newest.status}`)}</p>`}
    ${isThere && commands.length === 0 && html`<p class="empty">${t("commands.none")}</p>`}
    <ul class="commands">
      ${commands.map(
        (each) => html`<${Command} key=${each.command_id} command=${each} onCancel=${cancel}
          device=${!id && { name: names.get(each.device_id) }} canCancel=${methods.has("command.cancel")} />`,
      )}
    </ul>
    ${commands.length === limit && limit < MOST && html`<button type="button" onClick=${() => setLimit(limit * 2)}>
      ${t("events.older")}</button>`}
  </section>`;
}

/**
 * The view of the commands of all devices.
 * @param {import("./shared.js").ViewProps} props
 */
export default function AllCommands({ link, device }) {
  const methods = methodsOf(device);
  useWish(link, methods, { kinds: ["command.update"] });
  return html`<${Commands} link=${link} methods=${methods} />`;
}
