// The search page: answers with their age, the attention of channels, and the evidence.

import { ask } from "./ask.js";
import { shares } from "./charts.js";
import { count, date, duration, element, foreign, share } from "./dom.js";

const CLASSES = ["one", "two", "three", "four"];
const PATHS = {
  known: "a known query, with a vector of its own",
  fresh: "a query that changed since the training, with a vector of the overlay",
  encoded: "a query that was never seen: its text alone answers",
};
const EVIDENCE = {
  no_link: "No click and no session links the two: text and more distant neighbours do.",
  query_unknown: "No event had this query: its text alone answers.",
  newer: "One of the two, or the first click between them, is newer than the generation; the next one has their paths.",
  not_stored: "An earlier version wrote this generation, without the graph.",
};

let answered = null; // {query, found, problem}, so that a redraw asks nothing

export async function search(signal, redraw, parameters) {
  const query = (parameters.get("q") ?? "").trim();
  if (query && answered?.query !== query) answered = await answer(query, signal);
  const isAnswered = query !== "" && answered !== null;
  return {
    parts: [element("h1", {}, "Search"), form(query), ...(isAnswered ? result(answered) : [hint()])],
    isStill: true,
  };
}

async function answer(query, signal) {
  try {
    return { query, found: await ask("search", { q: query }, signal), problem: "" };
  } catch (error) {
    if (signal.aborted || error.status === 401) throw error;
    return { query, found: null, problem: error.message };
  }
}

function form(query) {
  return element(
    "form",
    { class: "query", role: "search", onsubmit: submit },
    element("input", { id: "query", type: "search", name: "q", value: query, autocomplete: "off", placeholder: "What a shopper would type", "aria-label": "Query" }),
    element("button", {}, "Search"),
  );
}

function submit(event) {
  event.preventDefault();
  const query = new FormData(event.target).get("q").trim();
  answered = null;
  const next = `#/search?${new URLSearchParams({ q: query })}`;
  if (location.hash === next) dispatchEvent(new Event("hashchange"));
  else location.hash = next;
}

function hint() {
  return element("p", { class: "quiet" }, "Each answer comes with its age, how far text, clicks and sessions make it up, and the clicks and sessions that link it to the query. Asking counts as any shopper's call does.");
}

function result({ found, problem }) {
  if (found === null) return [element("p", { class: "bar", role: "alert" }, foreign(problem))];
  const receipt = found.receipt;
  const age = receipt.age_seconds === null ? `the graph as it was ${duration(receipt.snapshot_age_seconds)} ago` : `all that came until ${duration(receipt.age_seconds)} ago`;
  const ahead = (receipt.catalog_reflected_ms - receipt.reflected_ms) / 1000;
  const catalog = receipt.age_seconds !== null && ahead >= 0.1 ? `, of the catalogue all until ${duration(Math.max(0, receipt.age_seconds - ahead))} ago` : "";
  const overlay = receipt.overlay_sequence ? ` with overlay ${count(receipt.overlay_sequence)}` : "";
  return [
    element("p", { role: "status" }, `${found.hits.length === 0 ? "No answer" : `${found.hits.length} answers`} for `, foreign(`“${shorten(found.query)}”`), `: ${PATHS[found.path] ?? "a query"}.`),
    element("p", { class: "quiet" }, `They reflect ${age}${catalog}; generation ${receipt.generation}${overlay}, trained on the graph of ${date(receipt.snapshot_ms)}.`),
    receipt.refused_generation ? element("p", { class: "warn" }, `The newer generation ${receipt.refused_generation} was refused.`) : null,
    key(found.hits),
    element("ol", { class: "hits" }, found.hits.map(hit)),
  ];
}

// A long query is not needed twice on the page.
function shorten(text) {
  const letters = [...text];
  return letters.length > 120 ? `${letters.slice(0, 120).join("")}…` : text;
}

function key(hits) {
  const channels = hits.find((each) => each.why !== null)?.why.channels ?? [];
  if (channels.length === 0) return null;
  return element(
    "ul",
    { class: "legend", "aria-label": "Channels" },
    channels.map((channel, place) => element("li", {}, element("span", { class: `key ${CLASSES[place % 4]}` }), element("b", {}, channel.channel), `: ${channel.propagates}`)),
  );
}

function hit(each, place) {
  return element(
    "li",
    {},
    element(
      "details",
      { class: "hit", "data-keep": `hit ${each.item_id}` },
      element(
        "summary",
        { class: "stop" },
        element("span", { class: "rank" }, `${place + 1}.`),
        foreign(each.title || "(no title)", { class: "title" }),
        element("span", { class: "mono" }, each.score.toFixed(3)),
        element("span", { class: "chips" }, foreign(shorten(each.item_id), { class: "mono" }), ...chips(each)),
      ),
      element("div", { class: "evidence" }, ...evidence(each)),
    ),
  );
}

function chips(each) {
  if (each.why === null) return [foreign(each.problem)];
  const source = each.why.item_source === "overlay" ? "overlay" : "generation";
  return [
    element("span", {}, `${duration(each.why.item_age_seconds)} old, ${source}`),
    attention(each.why.channels, "item"),
    attention(each.why.channels, "query"),
    element("span", {}, each.why.paths.length > 0 ? `${each.why.paths.length} paths` : "no path"),
  ];
}

function attention(channels, side) {
  const values = channels.map((channel) => channel[side]);
  if (channels.length === 0 || values.includes(null)) return element("span", { class: "share" }, `${side}: newer than the generation`);
  const words = channels.map((channel) => `${channel.channel} ${share(channel[side])}`).join(", ");
  return element("span", { class: "share" }, `${side} `, shares(values, `attention of the ${side}: ${words}`));
}

function evidence(each) {
  if (each.why === null) return [element("p", {}, foreign(each.problem))];
  const why = each.why;
  const rows = ["item", "query"].map((side) => {
    const said = why.channels.map((channel) => (channel[side] === null ? null : `${channel.channel} ${share(channel[side])}`));
    return element("p", {}, element("b", {}, `Attention of the ${side}: `), said.includes(null) ? "newer than the generation" : said.join(", "));
  });
  const links = why.evidence === "paths" ? element("ol", {}, why.paths.map((path) => element("li", {}, sentence(path)))) : element("p", {}, EVIDENCE[why.evidence] ?? "What links the two is not known to this console.");
  return [...rows, element("p", {}, element("b", {}, "Evidence")), links, since(each)];
}

// What no path has yet and the overlay already counts; null: nothing.
function since({ item_id, why }) {
  const own = why.newer_clicks.find((clicks) => clicks.item_id === item_id);
  const others = why.newer_clicks.filter((clicks) => clicks.item_id !== item_id);
  const said = [
    own ? element("li", {}, `${sessions(own.num_sessions)} searched it and clicked this item`) : null,
    others.length > 0 ? element("li", {}, "clicked for it, too: ", ...others.flatMap((clicks, place) => [place > 0 ? ", " : "", foreign(clicks.item_id, { class: "mono" }), ` in ${sessions(clicks.num_sessions)}`])) : null,
    why.item_newer_sessions > 0 ? element("li", {}, `${sessions(why.item_newer_sessions)} had this item beside others`) : null,
  ];
  if (said.every((each) => each === null)) return null;
  return element("div", {}, element("p", {}, element("b", {}, "Since the generation, by the overlay")), element("ul", {}, ...said));
}

function sessions(number) {
  return number === 1 ? "1 session" : `${count(number)} sessions`;
}

function sentence(path) {
  const many = `${path.is_lower_bound ? "at least " : ""}${sessions(path.num_sessions)}`;
  const strength = ` (strength ${path.strength.toPrecision(2)})`;
  if (path.kind === "click") return `${many} searched it and clicked this item${strength}`;
  if (path.kind === "other_query")
    return element("span", {}, "“", foreign(path.other_query), "” leads to it, too, and both queries lead to ", foreign(path.via_item_id, { class: "mono" }), strength);
  if (!path.via_item_id) return `${many} that searched it had this item${strength}`;
  return element("span", {}, "clicked for it: ", foreign(path.via_item_id, { class: "mono" }), `, together with this item in ${many}${strength}`);
}
