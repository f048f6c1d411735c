// The program that PromptDB is compared with: llama.cpp, as npm's node-llama-cpp brings it.
import {execFileSync} from "node:child_process";
import {existsSync, mkdirSync, writeFileSync} from "node:fs";
import path from "node:path";

export const PEER = "node-llama-cpp@3.21.1";

// Installs it in `folder`/node_modules, unless it is there.
export function installPeer(folder) {
  if (existsSync(path.join(folder, "node_modules", "node-llama-cpp"))) return;
  console.error(`installing ${PEER} …`);
  mkdirSync(folder, {recursive: true});
  if (!existsSync(path.join(folder, "package.json"))) writeFileSync(path.join(folder, "package.json"), "{}");
  execFileSync("npm", ["install", "--save-exact", "--ignore-scripts", PEER],
               {cwd: folder, stdio: ["ignore", "ignore", "inherit"]});
}
