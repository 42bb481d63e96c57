/** What plot.js exports: uPlot, of whose options its own documentation tells. */

declare const Plot: any;
export default Plot;
