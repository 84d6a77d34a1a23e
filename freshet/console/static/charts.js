// Charts as SVG: lines over time with gaps where nobody said anything, and small ones.

import { clock, drawing, duration, element } from "./dom.js";

const WIDTH = 760;
const HEIGHT = 240;
const LEFT = 70;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 26;
const CLASSES = ["one", "two", "three", "four"];
const NICE_SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400];

let pointed = null; // the time that is read off, so that a redraw keeps it

// lines: [{name, words, values}], values in seconds or null; limit: a line of its own.
export function ages(history, lines, limit) {
  const all = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const found = all.length > 0;
  const most = found ? Math.max(...all) : 1;
  const step = NICE_SECONDS.find((each) => most / each <= 4) ?? most / 4;
  const top = Math.max(Math.ceil(most / step), 1) * step;
  const steps = Math.max(...lines.map((line) => line.values.length), 2);
  const x = (at) => LEFT + ((at + 0.5) / steps) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - Math.min(value / top, 1)) * (HEIGHT - TOP - BOTTOM);
  const parts = [];
  for (let value = 0; value <= top * 1.001; value += step) {
    parts.push(drawing("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    parts.push(drawing("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, duration(value)));
  }
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const at = part * (steps - 1);
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const ms = history.begin_ms + at * history.step_ms;
    parts.push(drawing("text", { x: x(at), y: HEIGHT - 8, "text-anchor": anchor }, clock(ms)));
  }
  if (limit !== null && limit <= top)
    parts.push(drawing("line", { class: "limit", x1: LEFT, x2: WIDTH - RIGHT, y1: y(limit), y2: y(limit) }));
  lines.forEach((line, place) => {
    parts.push(drawing("path", { class: CLASSES[place], d: path(line.values, x, y) }));
  });
  const cursor = drawing("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const words = lines.map((line) => `${line.words}: ${duration(last(line.values))}`).join("; ");
  const read = element("p", { class: "quiet", "aria-live": "polite" });
  const svg = drawing(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0", "data-keep": "ages", "aria-label": `Ages over time. Now: ${words}` },
    parts,
    cursor,
  );
  const say = (at) => {
    const place = Math.max(0, Math.min(steps - 1, at));
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(place));
    cursor.setAttribute("x2", x(place));
    const said = lines.map((line) => `${line.words} ${duration(line.values[place] ?? null)}`);
    read.textContent = `${clock(history.begin_ms + place * history.step_ms)}: ${said.join(", ")}`;
    svg.dataset.at = place;
    pointed = history.begin_ms + place * history.step_ms;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const part = ((event.clientX - box.left) / box.width) * WIDTH;
    say(Math.floor(((part - LEFT) / (WIDTH - LEFT - RIGHT)) * steps));
  });
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    say(Number(svg.dataset.at ?? steps) + by);
  });
  for (const name of ["pointerleave", "blur"])
    svg.addEventListener(name, () =>
      // A chart that is drawn anew takes the place of this one, and keeps what is read off.
      setTimeout(() => {
        if (!svg.isConnected) return;
        pointed = null;
        cursor.setAttribute("visibility", "hidden");
        read.textContent = "";
      }),
    );
  if (pointed !== null) say(Math.round((pointed - history.begin_ms) / history.step_ms));
  const legend = element(
    "ul",
    { class: "legend" },
    lines.map((line, place) => legendOf(line, CLASSES[place])),
    limit === null ? null : legendOf({ words: `objective ${duration(limit)}${limit > top ? ", above this chart" : ""}`, values: null }, "limit"),
  );
  const none = found ? null : element("p", { class: "quiet" }, "Nothing was seen in this time yet.");
  return element("div", {}, svg, none, legend, read);
}

function legendOf(line, name) {
  const stroke = drawing("svg", { viewBox: "0 0 32 12", "aria-hidden": "true" }, drawing("path", { class: name, d: "M0 6H32" }));
  if (line.values === null) return element("li", {}, stroke, line.words);
  return element("li", {}, stroke, `${line.words} `, element("b", {}, duration(last(line.values))));
}

// The newest value; a look that is under way has none yet.
function last(values) {
  return values.at(-1) ?? values.at(-2) ?? null;
}

// Neighbours further apart than this many empty steps are no line: nobody said anything.
const MOST_GAP = 2;

function path(values, x, y) {
  let before = -Infinity;
  let text = "";
  values.forEach((value, at) => {
    if (value === null) return;
    const isJoined = at - before <= MOST_GAP;
    text += `${isJoined ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!isJoined) text += `h.1`;
    before = at;
  });
  return text;
}

export function spark(values, words, written = duration) {
  const found = values.filter((value) => value !== null);
  if (found.length === 0) return element("span", { class: "quiet" }, "");
  const most = Math.max(...found) || 1;
  const x = (at) => (at / Math.max(values.length - 1, 1)) * 110 + 1;
  const y = (value) => 20 - (value / most) * 17;
  return drawing(
    "svg",
    { viewBox: "0 0 112 22", class: "spark", role: "img", "aria-label": `${words}: up to ${written(most)}` },
    drawing("path", { class: "one", d: path(values, x, y) }),
  );
}

// Shares of a whole, in the order of their names.
export function shares(values, words) {
  let from = 0;
  const parts = values.map((value, place) => {
    const part = drawing("rect", { class: CLASSES[place % 4], x: from, y: 0, width: Math.max(value * 100, 0), height: 10 });
    from += value * 100;
    return part;
  });
  return drawing("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": words }, parts);
}
