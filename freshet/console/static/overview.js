// The first page: how fresh answers are, what holds them up, and every process.

import { ask } from "./ask.js";
import { ages, spark } from "./charts.js";
import { clock, count, duration, element, foreign, share, table } from "./dom.js";

const RANGES = { 300: "5 minutes", 900: "15 minutes", 3600: "1 hour", 86400: "1 day" };
const LINES = [
  { name: "served", words: "answers" },
  { name: "published", words: "published" },
  { name: "durable", words: "graph" },
  { name: "waiting", words: "oldest record that waits" },
];
const STAGE_WORDS = {
  broker: "event to broker",
  consumed: "broker to stream",
  durable: "stream to graph",
  embedded: "graph to vectors",
  published: "vectors to disk",
  served: "disk to answers",
  end_to_end: "broker to answers",
};

let range = "900";

export async function overview(signal, redraw) {
  const [now, history] = await Promise.all([
    ask("overview", {}, signal),
    ask("history", { seconds: range }, signal),
  ]);
  const parts = [
    element("h1", {}, "Overview"),
    banner(now),
    problems(now),
    stages(now),
    element(
      "div",
      { class: "columns" },
      chart(now, history, redraw),
      durations(now, history),
    ),
    processes(now),
  ];
  return { parts, now };
}

function banner(now) {
  const title = now.blocked_at === null ? "Nothing holds answers up" : `Held up: ${now.blocked_at}`;
  const since = now.since_seconds === null || now.blocked_at === null ? "" : `, for ${duration(now.since_seconds)} at the least`;
  // Red is for answers that are held up: they are young where something else is wrong.
  const state = now.is_well ? "good" : now.blocked_at === null ? "warn" : "bad";
  return element(
    "section",
    { class: `banner ${state}`, "aria-label": "Freshness" },
    element("p", { class: "age" }, element("b", {}, duration(now.age_seconds)), `age of answers, objective ${duration(now.objective_seconds)}`),
    element(
      "div",
      {},
      element("h2", {}, title + since),
      element("p", {}, now.headline),
      element("p", { class: "quiet" }, `Last good: ${now.last_good}.`),
    ),
  );
}

function problems(now) {
  const found = now.processes.flatMap((each) => each.problems.map((problem) => [each, problem]));
  if (found.length === 0) return null;
  return element(
    "section",
    { class: "panel", "aria-label": "What is wrong" },
    element("h2", {}, `What is wrong (${found.length})`),
    element(
      "ul",
      { class: "problems" },
      found.map(([process, problem]) =>
        element(
          "li",
          {},
          element("b", {}, `${process.name}: `),
          foreign(problem.text),
          problem.since_seconds === null ? "" : ` (since ${duration(problem.since_seconds)})`,
          element("p", {}, "Next: ", foreign(problem.step)),
          element("p", { class: "quiet" }, "Runbook: ", element("code", {}, `docs/operations.md#${problem.runbook.toLowerCase()}`)),
        ),
      ),
    ),
  );
}

function stages(now) {
  const blocked = now.stages.findIndex((stage) => stage.is_blocked);
  return element(
    "section",
    { class: "panel", "aria-label": "Stages" },
    element("h2", {}, "From a click to an answer"),
    element(
      "ol",
      { class: "stages" },
      now.stages.map((stage, place) => {
        const state = stage.is_blocked ? "blocked" : blocked >= 0 && place > blocked ? "after" : null;
        return element(
          "li",
          { class: state },
          element("b", {}, stage.name),
          element("span", { class: "big" }, stage.seconds === null ? "–" : duration(stage.seconds)),
          element("span", { class: "quiet" }, stage.is_blocked ? "held up here: " : "", foreign(stage.text)),
        );
      }),
    ),
  );
}

function chart(now, history, redraw) {
  const lines = LINES.map((line) => ({ ...line, values: history.values[line.name] ?? [] }));
  const choice = element(
    "select",
    {
      "data-keep": "range",
      "aria-label": "Time that is shown",
      onchange: (event) => {
        range = event.target.value;
        redraw();
      },
    },
    Object.entries(RANGES).map(([seconds, words]) => element("option", { value: seconds, selected: seconds === range }, words)),
  );
  return element(
    "section",
    { class: "panel", "aria-label": "Ages over time" },
    element("div", { class: "head" }, element("h2", {}, "How old each stage is"), choice),
    ages(history, lines, now.objective_seconds),
  );
}

function durations(now, history) {
  const rows = now.durations.map((each) =>
    element(
      "tr",
      {},
      element("td", {}, STAGE_WORDS[each.stage] ?? each.stage),
      element("td", { class: "num" }, each.median === null ? "–" : duration(each.median)),
      element("td", { class: "num" }, each.p99 === null ? "–" : duration(each.p99)),
      element("td", { class: "num" }, count(each.count)),
      element("td", {}, spark(history.values[`p50 ${each.stage}`] ?? [], `median of ${STAGE_WORDS[each.stage]}`)),
    ),
  );
  return element(
    "section",
    { class: "panel", "aria-label": "Durations" },
    element("h2", {}, "How long a stage takes"),
    table("Last five minutes", ["stage", "#median", "#99%", "#passed", "median over time"], rows),
  );
}

function processes(now) {
  const rows = now.processes.map((each) => {
    const [word, state] = !each.is_wanted
      ? ["off", "quiet"]
      : !each.is_up
        ? ["down", "bad"]
        : each.problems.length > 0
          ? ["warning", "warn"]
          : ["up", "good"];
    const said = each.problems[0]?.text ?? each.note;
    return element(
      "tr",
      {},
      element("td", {}, element("span", { class: `word ${state}` }, word)),
      element("td", {}, each.name),
      element("td", {}, element("span", { class: "mono" }, each.address)),
      element("td", { class: "words" }, facts(each, said)),
    );
  });
  return element(
    "section",
    { class: "panel", "aria-label": "Processes" },
    element("h2", {}, "Processes"),
    table(`As of ${clock(now.at_ms)}`, ["state", "process", "metrics", "what it says"], rows),
  );
}

function facts(process, said) {
  const known = Object.entries(process.facts);
  if (known.length === 0) return foreign(said || "nothing");
  return element(
    "details",
    { "data-keep": `process ${process.name}` },
    element("summary", { class: "stop" }, foreign(said || `${known.length} facts`)),
    element(
      "dl",
      { class: "facts" },
      known.map(([name, value]) => element("div", {}, element("dt", {}, words(name)), element("dd", {}, foreign(fact(name, value))))),
    ),
  );
}

function words(name) {
  return name.replace(/_age_seconds$|_seconds$/, "").replaceAll("_", " ");
}

function fact(name, value) {
  if (typeof value === "string") return value;
  if (name.endsWith("_age_seconds")) return `${duration(value)} ago`;
  if (name.endsWith("_seconds")) return duration(value);
  if (/_(recall|overlap|cosine)$/.test(name)) return share(value);
  return count(value);
}
