// The pages that are tables: generations, partitions, the quarantine.

import { ask } from "./ask.js";
import { spark } from "./charts.js";
import { count, date, duration, element, foreign, table } from "./dom.js";

// Rows that are drawn at once; the rest on request. Twice as many: a refresh that takes
// twice as long.
const MOST_ROWS = 200;

let showAll = false;
let filter = "";

export async function generations(signal) {
  const found = await ask("generations", {}, signal);
  const problems = found.problems.map((text) => element("p", { class: "warn", role: "status" }, foreign(text)));
  if (found.generations.length === 0) {
    const text = found.told_by
      ? "There is no generation yet: the tuner makes one once there are events."
      : "No server says which generations there are. Start one, or start the console with --artifacts DIR.";
    return { parts: [element("h1", {}, "Generations"), ...problems, element("p", { class: "panel" }, text)] };
  }
  const rows = found.generations.map((each) => generation(each, found));
  const pinned = found.pinned === null ? null : element("p", { class: "warn" }, `Pinned: ${found.pinned || "not readable"}; nothing newer goes live.`);
  return {
    parts: [
      element("h1", {}, "Generations"),
      ...problems,
      pinned,
      element(
        "section",
        { class: "panel" },
        table(`Newest first, as told by ${found.told_by}`, ["", "generation", "gate", "#items", "#queries", "evaluation"], rows),
      ),
    ],
  };
}

function generation(each, found) {
  const marks = [];
  const isCurrent = each.generation_id === found.current;
  if (each.state === "live") marks.push(["live", "good"]);
  else if (each.state === "refused") marks.push(["refused", "bad"]);
  else if (each.state === "unreadable") marks.push(["unreadable", "bad"]);
  else if (each.state === "loading" || each.state === "waiting") marks.push([each.state, "warn"]);
  if (isCurrent && each.state !== "live") marks.push(["current", "warn"]);
  if (each.generation_id === found.pinned) marks.push(["pinned", "warn"]);
  const state = element("td", {}, marks.map(([word, name]) => element("span", { class: `word ${name}` }, `${word} `)));
  if (each.gate_passed === undefined || each.state === "unreadable")
    return element("tr", {}, state, element("td", { class: "words" }, named(each)), element("td", { class: "words bad", colspan: 4 }, foreign(each.reason)));
  const why = [...each.gate_reasons, ...(each.reason ? [each.reason] : [])];
  const gate = element(
    "td",
    why.length === 0 ? {} : { class: "words" }, // room for reasons, where there are some
    element("span", { class: `word ${each.gate_passed ? "good" : "bad"}` }, each.gate_passed ? "passed" : "refused"),
    why.length === 0 ? null : element("ul", { class: "reasons" }, why.map((reason) => element("li", {}, foreign(reason)))),
  );
  return element(
    "tr",
    {},
    state,
    element("td", { class: "words" }, named(each)),
    gate,
    element("td", { class: "num" }, count(each.num_items)),
    element("td", { class: "num" }, count(each.num_queries)),
    element("td", { class: "words" }, evaluation(each)),
  );
}

function named(each) {
  if (each.created_ms === undefined) return element("span", { class: "mono" }, each.generation_id);
  return element(
    "details",
    { "data-keep": `generation ${each.generation_id}` },
    element("summary", { class: "stop mono" }, each.generation_id),
    element(
      "dl",
      { class: "facts" },
      [
        ["made", date(each.created_ms)],
        ["graph as of", date(each.snapshot_ms)],
        ["events up to", date(each.watermark_ms)],
        ["trained on from", each.parent || "scratch"],
        ["items that answers have", count(each.num_indexed)],
        ["index", each.index_engine || "not known"],
      ].map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, foreign(value)))),
    ),
  );
}

// The figures that say most come first; the others are one click away.
const FIRST = ["candidate_mrr", "current_mrr", "index_recall_10", "own_title_recall_10"];

function evaluation(each) {
  const figures = Object.entries(each.evaluation ?? {});
  if (figures.length === 0) return element("span", { class: "quiet" }, "none");
  const first = figures.filter(([name]) => FIRST.includes(name));
  const shown = first.length > 0 ? first : figures.slice(0, 3);
  const text = (list) => list.map(([name, value]) => `${name} ${value.toFixed(3)}`).join(", ");
  if (shown.length === figures.length) return text(figures);
  return element(
    "details",
    { "data-keep": `evaluation ${each.generation_id}` },
    element("summary", {}, text(shown)),
    element("dl", { class: "facts" }, figures.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value.toFixed(4))))),
  );
}

export async function partitions(signal, redraw) {
  const found = await ask("partitions", {}, signal);
  const all = found.partitions;
  const silent = silence(found);
  if (all.length === 0) {
    const text = silent === null ? "The streams tell of no partition: events come from files, or no record was read yet." : "Nothing is known of partitions.";
    return { parts: [element("h1", {}, "Partitions"), silent, element("p", { class: "panel" }, text)] };
  }
  const wanted = all.filter((each) => `${each.topic}-${each.partition} ${each.process}`.includes(filter));
  const drawn = showAll ? wanted : wanted.slice(0, MOST_ROWS);
  const waiting = all.filter((each) => each.records > 0);
  const stuck = all.filter((each) => each.stuck_seconds > 0);
  const records = waiting.reduce((sum, each) => sum + each.records, 0);
  const more = wanted.length - drawn.length;
  return {
    parts: [
      element("h1", {}, "Partitions"),
      silent,
      found.broker_errors.length > 0 ? element("p", { class: "bar" }, "Kafka does not answer: ", foreign(found.broker_errors.join("; "))) : null,
      found.shards_without_owner ? element("p", { class: "bar" }, `${count(found.shards_without_owner)} shards have no process, and nobody reads their partitions.`) : null,
      element(
        "p",
        {},
        `${count(all.length)} partitions; in ${count(waiting.length)} of them ${count(records)} records wait, the oldest for ${duration(Math.max(...all.map((each) => each.seconds)))}; `,
        element("b", { class: stuck.length > 0 ? "bad" : "good" }, `${count(stuck.length)} do not move`),
        found.brokers.length > 0 ? `. Kafka: ${found.brokers.join(", ")}` : "",
      ),
      element(
        "section",
        { class: "panel" },
        element(
          "p",
          {},
          element("label", { for: "filter" }, "Only "),
          element("input", { id: "filter", type: "search", "data-keep": "filter", value: filter, placeholder: "topic, partition or process", oninput: (event) => narrow(event, redraw) }),
        ),
        table(
          "The longest wait first",
          ["topic", "#partition", "process", "#records that wait", "#oldest waits", "#does not move for"],
          drawn.map(partition),
        ),
        wanted.length === 0 ? element("p", { class: "quiet" }, "No partition is called so.") : null,
        more > 0 ? element("p", {}, element("button", { type: "button", "data-keep": "all", onclick: () => widen(redraw) }, `Show ${count(more)} more`)) : null,
      ),
    ],
  };
}

function narrow(event, redraw) {
  filter = event.target.value.trim();
  redraw();
}

function widen(redraw) {
  showAll = true;
  redraw();
}

function partition(each) {
  return element(
    "tr",
    {},
    element("td", { class: "mono" }, foreign(each.topic)),
    element("td", { class: "num" }, each.partition),
    element("td", {}, each.process),
    element("td", { class: "num" }, count(each.records)),
    element("td", { class: "num" }, duration(each.seconds)),
    element("td", { class: `num ${each.stuck_seconds > 0 ? "bad" : ""}` }, each.stuck_seconds > 0 ? duration(each.stuck_seconds) : "–"),
  );
}

export async function quarantine(signal) {
  const [found, history] = await Promise.all([ask("quarantine", {}, signal), ask("history", { seconds: 3600 }, signal)]);
  const silent = silence(found);
  if (!found.is_known)
    return { parts: [element("h1", {}, "Quarantine"), silent, element("p", { class: "panel" }, "Nothing is known of rejected records.")] };
  const recent = found.reasons.reduce((sum, each) => sum + each.recent, 0);
  const total = found.reasons.reduce((sum, each) => sum + each.total, 0);
  const rows = found.reasons
    .filter((each) => each.total > 0 || each.recent > 0)
    .map((each) =>
      element(
        "tr",
        {},
        element("td", { class: "mono" }, each.reason),
        element("td", { class: "words" }, each.meaning),
        element("td", { class: `num ${each.recent > 0 ? "warn" : ""}` }, count(each.recent)),
        element("td", { class: "num" }, count(each.total)),
      ),
    );
  const part = found.recent_messages > 0 ? ` of ${count(found.recent_messages)} messages (${((100 * recent) / found.recent_messages).toFixed(1)}%)` : "";
  return {
    parts: [
      element("h1", {}, "Quarantine"),
      silent,
      found.waiting_seconds > 0 ? element("p", { class: "bar" }, `The quarantine has taken no record for ${duration(found.waiting_seconds)}, and the stream waits for it.`) : null,
      element("p", {}, `Rejected in the last five minutes: ${count(recent)}${part}; since the streams started: ${count(total)}.`),
      trend(history.values.rejected ?? []),
      rows.length === 0
        ? element("p", { class: "panel" }, "Nothing was rejected since the streams started.")
        : element(
            "section",
            { class: "panel" },
            table("By reason", ["reason", "what it means", "#last 5 minutes", "#since the start"], rows),
            element("p", { class: "quiet" }, "The records themselves: ", ...commands("list", found.where), ". Once the cause is mended they are let in by ", ...commands("replay", found.where), "."),
          ),
    ],
  };
}

// How many were rejected at each look, where any was.
function trend(rejected) {
  if (!rejected.some((value) => value > 0)) return null;
  return element("p", { class: "quiet trend" }, "Rejected in five minutes, over the last hour:", spark(rejected, "rejected in five minutes, over the last hour", count));
}

function commands(verb, places) {
  return places.flatMap((where, place) => [place > 0 ? ", " : "", element("code", {}, foreign(`freshet quarantine ${verb} ${where}`))]);
}

function silence(found) {
  if (found.silent.length === 0) return null;
  return element("p", { class: "bar" }, `No metrics from: ${found.silent.join(", ")}. What it would tell is missing here.`);
}
