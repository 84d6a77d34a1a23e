// Validates a document by AsyncAPI's own parser: node validate.js PARSER DOCUMENT
const fs = require("node:fs");

const [parserPath, documentPath] = process.argv.slice(2);
const { Parser } = require(parserPath);

new Parser().validate(fs.readFileSync(documentPath, "utf8"), { source: documentPath }).then((found) => {
  // Severity 0 is an error, 1 a warning; hints that a newer version exists are 2.
  const wrong = found.filter((each) => each.severity <= 1);
  for (const each of wrong) console.error(`${each.path.join(".")}: ${each.message}`);
  process.exitCode = wrong.length ? 1 : 0;
});
