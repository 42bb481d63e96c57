/** Messages as text: what is read, what is written. */

/** @typedef {{jsonrpc?: string, id?: any, method?: any, params?: any, result?: any, error?: any, stream?: boolean}} Message */

/**
 * Read JSON; integers that a number cannot hold keep their digits, where the browser can do that.
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError}
 */
export function parse(text) {
  const mayBeLarge = "rawJSON" in JSON && /\d{16}/.test(text);
  return mayBeLarge ? JSON.parse(text, keepDigits) : JSON.parse(text);
}

function keepDigits(_key, value, context) {
  const isLarge = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source);
  return isLarge ? JSON["rawJSON"](context.source) : value;
}

/**
 * Read a message.
 * @param {string} text
 * @returns {Message | null} null where it is no object.
 */
export function messageIn(text) {
  try {
    const message = parse(text);
    return typeof message === "object" && !Array.isArray(message) ? message : null;
  } catch {
    return null;
  }
}

const SECRET = /("\w*(?:token|psk|passphrase|passw(?:or)?d|secret|ticket)"\s*:\s*)"(?:[^"\\]|\\.)*"/gi;
const SECRETS_BY_PLACE = /((?:rpc\.authenticate|wifi\.connect)"\s*,\s*"params"\s*:\s*\[).*/s;

/**
 * A message as it may be shown: without tokens and passwords.
 * @param {string} text
 */
export function masked(text) {
  return text.replace(SECRET, '$1"***"').replace(SECRETS_BY_PLACE, "$1***");
}

/**
 * A name as a part of an address, also one with half of a character in it, which has no place there.
 * @param {unknown} name
 */
export function uriPart(name) {
  return encodeURIComponent(String(name).toWellFormed());
}

/**
 * The texts of server-sent events.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{id: string | null, data: string}>}
 */
export async function* eventsIn(body) {
  const decoder = /** @type {ReadableWritablePair<string, any>} */ (new TextDecoderStream());
  const reader = body.pipeThrough(decoder).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const lines = block.split("\n");
        const members = (name) => lines.filter((each) => each.startsWith(name)).map((each) => each.slice(name.length));
        const data = members("data: ");
        if (data.length) yield { id: members("id: ")[0] ?? null, data: data.join("\n") };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
