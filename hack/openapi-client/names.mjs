// Prints what a generated client offers: each file below a folder with each name that it exports, sorted.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = process.argv[2];
const exported = /^\s*export (?:declare )?(?:async )?(?:const|function|type|interface|enum|class) (\w+)/gm;
const names = readdirSync(root, { recursive: true })
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) => [...readFileSync(join(root, file), "utf8").matchAll(exported)].map(([, name]) => `${file} ${name}`));
console.log([...new Set(names)].sort().join("\n"));
