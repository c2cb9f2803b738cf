// Runs one expression among the page's scripts, as a browser would, and prints its value as JSON:
//   node run_in_node.js FOLDER < expression
"use strict";

const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { runInThisContext } = require("node:vm");

const [folder, ...scripts] = process.argv.slice(2);
for (const script of scripts) runInThisContext(readFileSync(join(folder, script), "utf8"), { filename: script });
process.stdout.write(JSON.stringify(runInThisContext(readFileSync(0, "utf8"))));
