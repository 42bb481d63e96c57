// Prints each level that a tank tells of, until it is told of 100.
import { connect, Tank } from "./tank.js";

const tank = new Tank(connect(process.argv[2] ?? ""));
const leave = tank.changed.subscribe((level) => {
  console.log(level["per-cent"]);
  if (level["per-cent"] === 100) {
    leave();
    tank.link.close();
  }
});
