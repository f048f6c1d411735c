// Random-weight models of any Llama shape, by make_gguf.py of $PROMPTDB_PEER, or of ../shared/peer beside
// this checkout; the K formats, which that doesn't write, by build/bench/random_model.
import {execFileSync} from "node:child_process";
import {existsSync} from "node:fs";
import path from "node:path";

// [layers, dim, hidden, heads, KV heads, vocabulary]: SmolLM-135M's, and a toy's.
export const S = [30, 576, 1536, 9, 3, 32000], TINY = [2, 64, 128, 4, 2, 32000];

export const peerScripts = (root) => process.env.PROMPTDB_PEER ?? path.join(root, "..", "shared", "peer");

// The file in `folder`, written unless it is there.
export function randomModel(root, folder, shape, dtype, context) {
  const file = path.join(folder, `llama-${shape.join("-")}-${dtype}-${context}.gguf`);
  if (existsSync(file)) return file;
  const dimensions = shape.map(String);
  if (dtype.endsWith("_k")) {
    // The vocabulary is that of a file of make_gguf.py's.
    const vocabulary = randomModel(root, folder, TINY, "bf16", context);
    console.error(`writing ${path.basename(file)} …`);
    execFileSync(path.join(root, "build", "bench", "random_model"),
                 [file, vocabulary, ...dimensions.slice(0, -1), dtype, String(context)],
                 {stdio: ["ignore", "ignore", "inherit"]});
    return file;
  }
  const script = path.join(peerScripts(root), "make_gguf.py");
  if (!existsSync(script)) throw new Error(`there is no ${script}; set PROMPTDB_PEER to the folder that has it`);
  console.error(`writing ${path.basename(file)} …`);
  execFileSync("/usr/bin/python3", [script, file, ...dimensions, dtype, String(context)],
               {stdio: ["ignore", "ignore", "inherit"]});
  return file;
}
