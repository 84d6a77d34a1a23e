// Asks a running server from Node, as JSON over HTTP, with nothing but Node's own modules.
//
//     freshet serve --artifacts shop/artifacts --config http.toml    # [server] http_address = "127.0.0.1:8080"
//     node examples/ask.js http://127.0.0.1:8080 "red mug"
"use strict";
const http = require("node:http");
const https = require("node:https");

const METHOD = "/freshet.retrieval.v1.RetrievalService/Retrieve";
// A search page has no time to wait: half a second a try.
const TRY_MS = 500;
const TRIES = 3;

// Connections are kept: one agent for the whole process.
const agents = { "http:": new http.Agent({ keepAlive: true }), "https:": new https.Agent({ keepAlive: true }) };

/** Makes one call; resolves to its HTTP status, its headers and its JSON. */
function call(server, request) {
  const url = new URL(METHOD, server);
  const body = Buffer.from(JSON.stringify(request));
  const headers = {
    "content-type": "application/json",
    "content-length": body.length,
    "connect-timeout-ms": TRY_MS,
  };
  if (process.env.FRESHET_TOKEN) headers.authorization = `Bearer ${process.env.FRESHET_TOKEN}`;
  const { request: send } = url.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const sent = send(url, { method: "POST", headers, agent: agents[url.protocol], timeout: 2 * TRY_MS }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        try {
          resolve({ status: response.statusCode, headers: response.headers, json: JSON.parse(Buffer.concat(parts)) });
        } catch (error) {
          reject(new Error(`${url.origin} did not answer in JSON: ${error.message}`));
        }
      });
    });
    sent.on("timeout", () => sent.destroy(new Error(`${url.origin} did not answer in time`)));
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Asks until there is an answer, or an error that trying again does not help. */
async function ask(server, request) {
  for (let attempt = 1; ; attempt++) {
    const { status, headers, json } = await call(server, request);
    if (status === 200) return json;
    const passes = status === 503 || status === 429;
    if (!passes || attempt === TRIES) {
      const info = (json.details || []).find((detail) => detail.type === "google.rpc.ErrorInfo");
      throw new Error(`${json.code} (${info ? info.debug.reason : status}): ${json.message}`);
    }
    const seconds = Number(headers["retry-after"] || 1);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  }
}

async function main(server, query) {
  const answer = await ask(server, { query, k: 5 });
  for (const hit of answer.hits) console.log(`${hit.score.toFixed(3)}  ${hit.itemId}  ${hit.title}`);
  console.log(`generation ${answer.receipt.generation}`);
  agents["http:"].destroy();
  agents["https:"].destroy();
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
