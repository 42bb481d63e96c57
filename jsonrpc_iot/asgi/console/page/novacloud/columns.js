/** Points in columns, as plots have them. */

/**
 * The points of several sensors as columns beside their times. Where one was silent for too long its line is broken.
 * @param {{timestamp: number, value: unknown, value_key: string}[]} points
 * @param {string[]} keys
 * @param {number | null} interval seconds of a group; null for single values, whose usual distance decides.
 * @returns {any[]} times, and for each key its values: null breaks a line, undefined does not.
 */
export function columnsOf(points, keys, interval) {
  /** @type {Map<string, [number, number][]>} */
  const runs = new Map(keys.map((key) => [key, []]));
  for (const { timestamp, value, value_key: key } of points) {
    const number = typeof value === "boolean" ? Number(value) : value;
    if (typeof number === "number") runs.get(key)?.push([timestamp, number]);
  }
  /** @type {Map<number, (number | null)[]>} */
  const rows = new Map();
  const rowAt = (at) => rows.get(at) ?? /** @type {any} */ (rows.set(at, []).get(at));
  [...runs.values()].forEach((run, number) => {
    run.sort(([one], [other]) => one - other);
    const longest = interval ? interval * 1.5 : usualPause(run) * 5;
    run.forEach(([at, value], place) => {
      rowAt(at)[number] = value;
      if (run[place + 1]?.[0] - at > longest) rowAt(at + longest / 2)[number] ??= null;
    });
  });
  const times = [...rows.keys()].sort((one, other) => one - other);
  return [times, ...keys.map((_, number) => times.map((at) => rowAt(at)[number]))];
}

/** The median of the pauses between values; at least a second. */
function usualPause(run) {
  const pauses = run.slice(1).map(([at], place) => at - run[place][0]).sort((one, other) => one - other);
  return Math.max(1, pauses[pauses.length >> 1] ?? Infinity);
}
