// What a forward pass must do at least, and so how long it must take on a machine.

const BYTES = {bf16: 2, q8_0: 34 / 32, q4_0: 18 / 32, q4_k: 144 / 256, q6_k: 210 / 256};

// Of a Llama with untied embeddings. Weights: those that are multiplied with; the table of embeddings, of
// which a few rows are read, is counted only in weightBytes.
export function modelSize([layers, dim, hidden, heads, kvHeads, vocab], dtype) {
  const headDim = dim / heads, kv = kvHeads * headDim;
  const layer = dim * (dim + 2 * kv) + dim * dim + 3 * dim * hidden;
  const head = vocab * dim, bytes = BYTES[dtype];
  return {layers, dim, blocks: layers * layer, head, readBytes: (layers * layer + head) * bytes,
          weightBytes: (layers * layer + 2 * head) * bytes, kvBytesPerToken: layers * 2 * kv * 2};
}

// Seconds. Weights and states are read once, and products are in f32, which is what this machine's
// processor without bf16 instructions has; the longer of the two counts.
export function limits(size, {cached, fresh, decode, prompts}, machine) {
  const flops = (rows, before) =>
    2 * size.blocks * rows + 4 * size.dim * size.layers * (rows * before + (rows * (rows + 1)) / 2);
  const seconds = (work, bytes) => Math.max(work / machine.flops_per_s, bytes / machine.read_bytes_per_s);
  const states = size.kvBytesPerToken * cached;
  const head = 2 * size.head;
  const step = (rows) => seconds(flops(1, cached + fresh) * rows + head * rows, size.readBytes + states);
  return {
    cold: seconds(flops(cached + fresh, 0) + head, size.readBytes),
    hit: seconds(flops(fresh, cached) + head, size.readBytes + states),
    step: step(1),
    prompts: seconds((flops(fresh, cached) + head) * prompts, size.readBytes + states) + (decode - 1) * step(prompts),
  };
}
