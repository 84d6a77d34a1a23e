// The page: which of its pages is shown, keys, and a look again every few seconds.

import { ask, keepToken } from "./ask.js";
import { clock, duration, element, show } from "./dom.js";
import { overview } from "./overview.js";
import { search } from "./search.js";
import { generations, partitions, quarantine } from "./tables.js";

const PAGES = { overview, search, generations, partitions, quarantine };
const TITLES = { overview: "Overview", search: "Search", generations: "Generations", partitions: "Partitions", quarantine: "Quarantine" };
const KEYS = "freshet-keys";
// A view older than this many looks is said to be old.
const MOST_LOOKS = 5;

const main = document.getElementById("main");
const state = document.getElementById("state");
const old = document.getElementById("old");
const keys = document.getElementById("keys");
const keysOn = document.getElementById("keys-on");
const token = document.getElementById("token");

let everyMs = 2000;
let timer = null;
let running = null;
let seen = ""; // the page that is drawn, so that going to another one moves the focus

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const name = path === "" ? "overview" : path;
  return { name: Object.hasOwn(PAGES, name) ? name : "overview", parameters: new URLSearchParams(query ?? "") };
}

async function draw() {
  running?.abort();
  clearTimeout(timer);
  const mine = (running = new AbortController());
  const { name, parameters } = place();
  mark(name);
  let isStill = false;
  try {
    const page = await PAGES[name](mine.signal, draw, parameters);
    if (mine.signal.aborted) return;
    isStill = page.isStill === true;
    show(main, page.parts);
    token.hidden = true;
    tell(page.now ?? (await ask("overview", {}, mine.signal)));
  } catch (error) {
    if (mine.signal.aborted) return;
    fail(error);
  }
  if (mine.signal.aborted) return;
  arrive(name, parameters);
  const next = isStill ? () => look(mine) : draw;
  if (!token.hidden) return;
  timer = setTimeout(next, document.hidden ? 10 * everyMs : everyMs);
}

// A page that does not change by itself still says how the system is.
async function look(mine) {
  try {
    tell(await ask("overview", {}, mine.signal));
  } catch (error) {
    if (mine.signal.aborted) return;
    fail(error);
  }
  if (mine.signal.aborted || !token.hidden) return;
  timer = setTimeout(() => look(mine), document.hidden ? 10 * everyMs : everyMs);
}

function mark(name) {
  for (const each of document.querySelectorAll("nav a")) {
    if (each.dataset.page === name) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  document.title = `${TITLES[name]} · Freshet`;
}

function arrive(name, parameters) {
  const now = `${name}?${parameters}`;
  if (seen === now || !token.hidden) return;
  const isFirst = seen === "";
  seen = now;
  if (name === "search") document.getElementById("query")?.focus();
  else if (!isFirst) main.focus();
}

function tell(now) {
  everyMs = now.every_seconds * 1000;
  const words = now.is_well ? "all well" : now.num_problems === 1 ? "1 thing is wrong" : `${now.num_problems} things are wrong`;
  const text = `${now.is_well ? "✓" : "✗"} ${words}`;
  if (state.textContent !== text) state.textContent = text;
  state.className = `state ${now.is_well ? "good" : "bad"}`;
  const age = (now.now_ms - now.at_ms) / 1000;
  const isOld = age > MOST_LOOKS * Math.max(now.every_seconds, 2);
  old.hidden = !isOld;
  if (isOld) old.textContent = `The console has not seen the processes for ${duration(age)}: this is how they were at ${clock(now.at_ms)}. Its log says why.`;
}

function fail(error) {
  if (error.status === 401) {
    askForToken(error.message);
    return;
  }
  old.hidden = false;
  old.textContent = `${error.message}. What this page shows is from before.`;
  state.textContent = "not known";
  state.className = "state warn";
  if (seen === "" || main.childElementCount === 0) show(main, [element("p", { class: "panel" }, "It is tried again every few seconds.")]);
}

function askForToken(text) {
  const isFirst = token.hidden;
  token.hidden = false;
  main.replaceChildren();
  state.textContent = "";
  document.getElementById("token-problem").textContent = sessionStorage.length > 0 ? text : "";
  if (isFirst) document.getElementById("token-text").focus();
}

token.addEventListener("submit", (event) => {
  event.preventDefault();
  const input = document.getElementById("token-text");
  keepToken(input.value.trim());
  input.value = "";
  draw();
});

function move(by) {
  const stops = [...main.querySelectorAll(".stop")];
  if (stops.length === 0) return;
  const at = stops.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.min(Math.max(at + by, 0), stops.length - 1);
  stops[next].focus();
}

function openKeys() {
  keysOn.checked = localStorage.getItem(KEYS) !== "off";
  keys.showModal();
}

document.getElementById("keys-button").addEventListener("click", openKeys);
keysOn.addEventListener("change", () => localStorage.setItem(KEYS, keysOn.checked ? "on" : "off"));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || keys.open) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (localStorage.getItem(KEYS) === "off") return;
  const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
  if (link !== null) location.hash = link.getAttribute("href");
  else if (event.key === "/") {
    event.preventDefault();
    if (place().name === "search") document.getElementById("query")?.select();
    else location.hash = "#/search";
  } else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") openKeys();
});
addEventListener("hashchange", draw);
document.addEventListener("visibilitychange", () => document.hidden || draw());
draw();
