// Makes elements, and writes times and numbers as people read them.

const SVG = "http://www.w3.org/2000/svg";

// Children are elements or texts; a text is never read as markup.
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function drawing(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

// What others wrote, such as a title: in a direction of its own, whatever its script.
export function foreign(text, attributes = {}) {
  return element("bdi", attributes, text);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "not known";
  if (seconds < 0.0005) return "0 s";
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.floor(minutes / 60);
  return `${count(Math.floor(hours / 24))} d ${hours % 24} h`;
}

export function count(number) {
  return new Intl.NumberFormat("en").format(Math.round(number));
}

export function share(number) {
  return `${Math.round(number * 100)}%`;
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

export function date(ms) {
  if (!ms) return "not known";
  return new Date(ms).toISOString().replace("T", " ").slice(0, 19) + " UTC";
}

export function table(caption, heads, rows) {
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      {},
      element("caption", {}, caption),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          heads.map((head) => {
            const isNumber = head.startsWith("#");
            const attributes = { scope: "col", class: isNumber ? "num" : null };
            return element("th", attributes, isNumber ? head.slice(1) : head);
          }),
        ),
      ),
      element("tbody", {}, rows),
    ),
  );
}

// Replaces what a page shows, without taking focus, scroll or open details from whoever
// reads it: nodes with a data-keep of the same value are kept where nothing changed.
export function show(place, ...children) {
  const next = element("div", {}, children);
  const before = new Map();
  for (const each of place.querySelectorAll("[data-keep]")) before.set(each.dataset.keep, each);
  for (const each of next.querySelectorAll("[data-keep]")) {
    const old = before.get(each.dataset.keep);
    if (old === undefined) continue;
    if (each.tagName === "DETAILS") each.open = old.open;
    if (each.tagName === "SELECT" || each.tagName === "INPUT") each.value = old.value;
  }
  const focused = document.activeElement?.closest("[data-keep]")?.dataset.keep;
  const isSummary = document.activeElement?.tagName === "SUMMARY";
  const scrolls = [...place.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  place.replaceChildren(...next.childNodes);
  [...place.querySelectorAll(".scroll")].forEach((each, at) => (each.scrollLeft = scrolls[at] ?? 0));
  if (focused !== undefined) {
    const found = [...place.querySelectorAll("[data-keep]")].find((each) => each.dataset.keep === focused);
    (isSummary ? found?.querySelector("summary") : found)?.focus({ preventScroll: true });
  }
}
