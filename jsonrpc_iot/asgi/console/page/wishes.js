/** What a NovaCloud platform is to tell: all that its devices report would be more than anybody looks at. */

import { effect, signal, useEffect } from "./vendor/ui.js";

/**
 * @typedef {{kinds: string[], device_ids?: string[]} | null} Wish names of events, and devices, all of them by default;
 *   null for everything.
 */

/** As long as nobody looks at what devices report. */
const QUIET = { kinds: ["device.*", "command.update"] };

const wish = signal(/** @type {Wish} */ (QUIET));

/**
 * Tell a platform what is wished, and again when it is another wish or another connection.
 * @param {import("./link.js").Link} link
 * @param {import("./device.js").Device} device
 */
export function tellWishes(link, device) {
  effect(() => {
    const methods = device.description.value?.methods;
    if (link.state.value !== "open" || !methods?.has("device.page") || !methods.has("events.subscribe")) return;
    const call = wish.value ? link.call("events.subscribe", wish.value) : link.call("events.unsubscribe");
    call.catch(() => {}); // not over POST: then everything is heard
  });
}

/**
 * Hear this as long as a view is shown.
 * @param {Wish} next
 */
export function useWish(next) {
  useEffect(() => {
    wish.value = next;
    return () => void (wish.value = QUIET);
  }, [JSON.stringify(next)]);
}
