/** uPlot without what the page has no use for: two thirds of it are left. */

/**
 * What is always so on this page, and what is therefore put in the place of what. Dead code goes by itself then.
 * @type {[string, RegExp, string][]}
 */
const ALWAYS = [
  ["series share their times", /\bmode == 1\b/g, "true"],
  ["they do", /\bmode == 2\b/g, "false"],
  ["the page has a legend of its own", /const showLegend = legend\.show;/g, "const showLegend = false;"],
  ["no scale is logarithmic or ordinal", /\b(?:[\w.]+\.)?distr == (?:2|3|4|100)\b/g, "false"],
  ["nor are its marks", /sc\.distr >= 3 && sc\.log == 10 \? log10AxisValsFilt : /g, ""],
  ["times are linear", /&& sc\.distr == 1 /g, ""],
  ["cursors of plots do not follow each other", /\bsrc != null\b/g, "false"],
  ["they do not", /\bsrc == null\b/g, "true"],
  ["nobody is told of a cursor", /\bpubSync\(.*\);/g, "0;"],
  ["each move is a mouse's", /\be != null\b/g, "true"],
  ["nobody hears", /const syncOpts = assign[\s\S]*?sync\.sub\(self\);/g, "const syncOpts = cursor.sync = {};"],
  ["nobody is heard", /function pub\(type[\s\S]*?self\.pub = pub;/g, ""],
  ["nobody leaves", /sync\.unsub\(self\);/g, ""],
  ["they have no key in common", /\bsyncKey != null\b/g, "false"],
  ["time goes from left to right", /\bscaleX\.ori == 0\b/g, "true"],
  ["it does", /\bscaleX\.ori == 1\b/g, "false"],
  ["the page writes times itself", /const _fmtDate .*\n/g, ""],
  ["it does", /const _timeAxisVals .*\n.*const _timeSeriesVal .*\n/g, ""],
  ["also for values", /isTime \? \(isStr\(sv\).*: sv \|\| numSeriesVal/g, "sv || numSeriesVal"],
  ["and for axes", /isTime \? \(\s*\/\/ config array[\s\S]*?av \|\| _timeAxisVals\s*\) : av \|\| numAxisVals/g, "av || numAxisVals"],
  ["so there are no formats", /const _timeAxisStamps = \[[\s\S]*?\n\t\];/g, "const _timeAxisStamps = [];"],
  ["times are in seconds", /\bms == 1 \? timeAxisSplitsMs\(_tzDate\) : /g, ""],
  ["they are", /\(ms == 1 \? timeIncrsMs : timeIncrsS\)/g, "timeIncrsS"],
  ["never in milliseconds", /const \[ timeIncrsMs.*\n/g, ""],
  ["each line has its own point", /const cursorOnePt = .*;/g, "const cursorOnePt = false;"],
  ["no line is in focus", /const cursorFocus = .*;/g, "const cursorFocus = false;"],
  ["lines do not come and go", /\n\tself\.(?:(?:add|del)Series|(?:add|set|del)Band|batch|posToIdx|valToIdx|setLegend|setSelect) = .*;/g, ""],
  ["there are no bands", /let \[ bandFillDir, bandClipDir \] = .*;/g, "const bandFillDir = 0, bandClipDir = 0;"],
  ["nothing is filled", /series\.fill != null \|\| bandFillDir != 0/g, "false"],
  ["nor cut to a band", /bandClipDir != 0/g, "false"],
  ["nor drawn with one", /flags != 0 && bands\.forEach\(\(b, bi\) => \{[\s\S]*?\n\t\t\}\);/g, ""],
  ["none is looked for", /\n\tbands\.forEach\(b => \{[\s\S]*?\n\t\}\);/g, ""],
  ["lines have no names of the library's", /\n\t\t\ts\.label = .*;/g, ""],
  ["straight lines are all that is drawn", /uPlot\.assign = assign;[\s\S]*/g, "uPlot.paths = { linear, points };\nexport { uPlot as default };"],
];

/**
 * @param {string} code uPlot's own.
 * @returns {string}
 */
export function smaller(code) {
  return ALWAYS.reduce((before, [why, pattern, instead]) => {
    const after = before.replaceAll(pattern, instead);
    if (after === before) throw new Error(`uPlot has changed, look at plot.js: ${why}, ${pattern}`);
    return after;
  }, code);
}
