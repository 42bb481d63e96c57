/** What the browser keeps for the page; one that keeps nothing is no reason not to show it. */

/**
 * @param {"localStorage" | "sessionStorage"} place
 * @param {string} name
 * @returns {string | null}
 */
export function kept(place, name) {
  try {
    return globalThis[place].getItem(name);
  } catch {
    return null;
  }
}

/**
 * @param {"localStorage" | "sessionStorage"} place
 * @param {string} name
 * @param {string | null} value null forgets it.
 */
export function keep(place, name, value) {
  try {
    if (value === null) globalThis[place].removeItem(name);
    else globalThis[place].setItem(name, value);
  } catch {
    // Then it lasts as long as the page.
  }
}
