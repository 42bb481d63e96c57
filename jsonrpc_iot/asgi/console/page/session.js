/**
 * Who uses the page: the token that it shows to the other end.
 *
 * It comes in the fragment of the address, which no server sees, and is taken out of it at once: `#token=TOKEN`, or
 * `#KEY`, a key that is good once and is exchanged for a token. Or somebody writes it into the form. It is kept for
 * as long as the tab is open.
 */

import { kept, keep } from "./kept.js";

const KEPT = "jsonrpc-iot.token";

/** Where the page's own files are, and where the other end answers. */
export const FOLDER = new URL("./", import.meta.url);
export const ENDPOINT = new URL("..", FOLDER);
ENDPOINT.pathname = ENDPOINT.pathname.replace(/(.)\/$/, "$1");

/** @returns {string | null} */
export function keptToken() {
  return kept("sessionStorage", KEPT);
}

/** @param {string | null} token */
export function keepToken(token) {
  keep("sessionStorage", KEPT, token);
}

/**
 * Take what the address says of who is there. A key that could not be exchanged, since nobody answered, stays in it.
 * @returns {Promise<boolean>} false where it has a key that is spent.
 */
export async function takeFragment() {
  const fragment = location.hash.slice(1);
  if (!fragment || fragment.startsWith("/")) return true;
  let token = fragment.startsWith("token=") ? fragment.slice("token=".length) : null;
  if (token === null) {
    const headers = { Authorization: `Bearer ${fragment}` };
    const response = await fetch(new URL("session", FOLDER), { method: "POST", headers }).catch(() => null);
    if (!response) return true;
    token = response.ok ? (await response.json()).token : null;
  }
  history.replaceState(null, "", location.pathname + location.search);
  if (token !== null) keepToken(token);
  return token !== null;
}
