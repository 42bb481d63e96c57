/**
 * Who uses the page: the token that it shows to the other end.
 *
 * It comes in the fragment of the address, which no server sees, and is taken out of it at once: `#token=TOKEN`, or
 * `#KEY`, a key that is good once and is exchanged for a token. Or somebody writes it into the form. It is kept for
 * as long as the tab is open.
 */

const KEPT = "jsonrpc-iot.token";

/** Where the page's own files are, and where the other end answers. */
export const FOLDER = new URL("./", import.meta.url);
export const ENDPOINT = new URL("..", FOLDER);
ENDPOINT.pathname = ENDPOINT.pathname.replace(/(.)\/$/, "$1");

/** @returns {string | null} */
export function keptToken() {
  return sessionStorage.getItem(KEPT);
}

/** @param {string | null} token */
export function keepToken(token) {
  if (token === null) sessionStorage.removeItem(KEPT);
  else sessionStorage.setItem(KEPT, token);
}

/**
 * Take what the address says of who is there.
 * @returns {Promise<boolean>} false where it has a key that is spent.
 */
export async function takeFragment() {
  const fragment = decodeURIComponent(location.hash.slice(1));
  if (!fragment || fragment.startsWith("/")) return true;
  history.replaceState(null, "", location.pathname + location.search);
  if (fragment.startsWith("token=")) {
    keepToken(fragment.slice("token=".length));
    return true;
  }
  const headers = { Authorization: `Bearer ${fragment}` };
  const response = await fetch(new URL("session", FOLDER), { method: "POST", headers });
  if (!response.ok) return false;
  keepToken((await response.json()).token);
  return true;
}
