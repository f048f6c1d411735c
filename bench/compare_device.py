#!/usr/bin/env python3
"""PromptDB on a GPU beside PyTorch's own full prefill, with the same weights on the same card.

    bench/compare_device.py [--device cuda:0] [--tokens 3072,5120] [--kv bf16,int8] [--runs 5]
                            [--model FILE.gguf] [--quick] [--no-torch] [--json FILE]

Prints the time to first token of a prompt of modules: PyTorch (scaled_dot_product_attention, which
takes FlashAttention where it can), llama.cpp where $LLAMA_BENCH or the PATH has a llama-bench that
was built for the GPU, and PromptDB: all of it computed, with the modules' states in the CPU tier,
and in GPU memory; and the rate at which states are copied to the GPU beside that of one large copy
from pinned memory. Without --model a Llama of 7B's shape with random weights is written first (14 GB
in the build's folder). --quick takes a toy, --device host the stand-in, to see that all of it works.

Needs a build with -DPROMPTDB_CUDA=ON in $PROMPTDB_BUILD, or in build/cuda; Python 3.9 and, unless
--no-torch, PyTorch 2. Nothing else: neither numpy nor a registry.
"""
import argparse
import json
import mmap
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("PROMPTDB_BUILD", ROOT / "build" / "cuda"))
# Tokens of a module, and of the question behind them.
MODULE_TOKENS, QUESTION_TOKENS = 512, 32
# layers, dim, hidden, heads, KV heads
SHAPES = {"7b": (32, 4096, 11008, 32, 32), "quick": (2, 256, 512, 4, 2)}
# What the paper and the issue ask of the time with cached states: so many times less.
TARGETS = {"gpu": 10, "cpu": 4}
COPY_TARGET = 0.85


def fail(message):
    sys.exit(f"compare_device: {message}")


def letters(count, seed):
    """Words without spaces between them, from a fixed sequence, as bench/program.h has them."""
    text = []
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) % (1 << 32)
        text.append(chr(ord("a") + (seed >> 24) % 26))
    return "".join(text)


def quote(text):
    return "'" + text.replace("'", "''") + "'"


# ---- The model ----


def write_model(work, name):
    file = work / f"random-{name}.gguf"
    if not file.exists():
        print(f"writing {file.name} …", file=sys.stderr)
        shape = [str(n) for n in SHAPES[name]]
        subprocess.run([BUILD / "bench" / "random_model", file, ROOT / "models" / "demo.gguf", *shape,
                        "bf16", "8192"], check=True)
    return file


class Gguf:
    """What PyTorch needs of a GGUF file: its metadata but for arrays, and its tensors in place."""

    SIZES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    TEXT, ARRAY = 8, 9

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self.at = 0
        if self.take("I") != 0x46554747 or self.take("I") != 3:
            fail(f"{path} is no GGUF file of version 3")
        tensors, pairs = self.take("Q"), self.take("Q")
        self.metadata = {}
        for _ in range(pairs):
            key = self.text()
            self.metadata[key] = self.value(self.take("I"))
        infos = []
        for _ in range(tensors):
            name = self.text()
            extents = [self.take("Q") for _ in range(self.take("I"))]
            infos.append((name, extents[::-1], self.take("I"), self.take("Q")))
        alignment = self.metadata.get("general.alignment", 32)
        data = (self.at + alignment - 1) // alignment * alignment
        self.tensors = {name: (shape, kind, data + offset) for name, shape, kind, offset in infos}

    def take(self, form):
        (value,) = struct.unpack_from("<" + form, self.bytes, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def text(self):
        size = self.take("Q")
        self.at += size
        return self.bytes[self.at - size:self.at].decode("utf-8", "replace")

    def value(self, kind):
        if kind == self.TEXT:
            return self.text()
        if kind != self.ARRAY:
            return self.take(self.SIZES[kind])
        item, count = self.take("I"), self.take("Q")
        for _ in range(count):
            self.value(item)
        return None

    def tensor(self, torch, name, device):
        shape, kind, offset = self.tensors[name]
        types = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
        if kind not in types:
            fail(f"{name} is quantized, and PyTorch is given bf16, f16 and f32 alone")
        count = 1
        for extent in shape:
            count *= extent
        return torch.frombuffer(self.bytes, dtype=types[kind], count=count, offset=offset).reshape(shape).to(device)


class Llama:
    """A plain Llama in PyTorch: what its users write, without a cache."""

    def __init__(self, torch, path, device):
        self.torch, self.device = torch, device
        file = Gguf(path)
        number = lambda key: file.metadata[f"llama.{key}"]
        self.layers, self.heads = number("block_count"), number("attention.head_count")
        self.kv_heads = file.metadata.get("llama.attention.head_count_kv", self.heads)
        self.eps = number("attention.layer_norm_rms_epsilon")
        self.theta = file.metadata.get("llama.rope.freq_base", 10000.0)
        self.weights = {name: file.tensor(torch, name, device) for name in file.tensors}

    def norm(self, x, name):
        wide = x.float()
        wide = wide * self.torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * self.weights[name + ".weight"].float()).to(x.dtype)

    def rotate(self, x, cosines, sines):  # [tokens, heads, head_dim]; pairs of adjacent elements
        even, odd = x[..., 0::2].float(), x[..., 1::2].float()
        turned = self.torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), -1)
        return turned.flatten(-2).to(x.dtype)

    def logits(self, ids, every_row=False):
        torch, functional = self.torch, self.torch.nn.functional
        weight = lambda name: self.weights[name + ".weight"]
        with torch.inference_mode():
            x = weight("token_embd")[ids]
            tokens, dim = x.shape
            head_dim = dim // self.heads
            frequencies = self.theta ** (-torch.arange(0, head_dim, 2, device=self.device, dtype=torch.float64) / head_dim)
            angles = torch.arange(tokens, device=self.device, dtype=torch.float64)[:, None] * frequencies
            cosines, sines = angles.cos().float()[:, None], angles.sin().float()[:, None]
            for i in range(self.layers):
                layer = f"blk.{i}."
                h = self.norm(x, layer + "attn_norm")
                q, k, v = ((h @ weight(layer + f"attn_{name}").T).view(tokens, -1, head_dim) for name in "qkv")
                q, k = self.rotate(q, cosines, sines), self.rotate(k, cosines, sines)
                repeat = self.heads // self.kv_heads
                k, v = (t.repeat_interleave(repeat, 1) if repeat > 1 else t for t in (k, v))
                q, k, v = (t.transpose(0, 1)[None] for t in (q, k, v))
                attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + attended[0].transpose(0, 1).reshape(tokens, -1) @ weight(layer + "attn_output").T
                h = self.norm(x, layer + "ffn_norm")
                up = functional.silu(h @ weight(layer + "ffn_gate").T) * (h @ weight(layer + "ffn_up").T)
                x = x + up @ weight(layer + "ffn_down").T
            x = self.norm(x if every_row else x[-1:], "output_norm")
            return (x @ weight("output" if "output.weight" in self.weights else "token_embd").T).float()


# ---- What is measured ----


def measure_torch(torch, model, ids, runs):
    ids = torch.tensor(ids, device=model.device)
    times = []
    for run in range(runs + 2):  # the first two choose kernels and take memory
        start = time.perf_counter()
        model.logits(ids).argmax().item()  # waits for the device
        if run >= 2:
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def torch_logprobs(torch, model, ids):
    logits = model.logits(torch.tensor(ids, device=model.device), every_row=True)
    rows = torch.log_softmax(logits[:-1], -1)
    return rows.gather(1, torch.tensor(ids[1:], device=model.device)[:, None])[:, 0].tolist()


def pinned_rate(torch, device):
    """Bytes a second of one large copy from pinned memory."""
    size = 1 << 30
    host = torch.empty(size, dtype=torch.uint8).pin_memory()
    there = torch.empty(size, dtype=torch.uint8, device=device)
    best = 0.0
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        there.copy_(host, non_blocking=True)
        torch.cuda.synchronize()
        best = max(best, size / (time.perf_counter() - start))
    return best


def measure_llama_cpp(model, tokens, runs):
    program = os.environ.get("LLAMA_BENCH") or shutil.which("llama-bench")
    if not program:
        return None
    out = subprocess.run([program, "-m", model, "-p", str(tokens), "-n", "0", "-ngl", "99", "-fa", "1", "-r",
                          str(runs), "-o", "json"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)[0]["avg_ns"] / 1e6


def pcsh(work, statements):
    """Runs statements on a fresh database; returns the rows of all."""
    database = work / "db"
    shutil.rmtree(database, ignore_errors=True)
    file = work / "statements.pql"
    file.write_text(statements)
    out = subprocess.run([BUILD / "shell" / "pcsh", "--db", database, "--format", "jsonl", "-f", file],
                         stdout=subprocess.PIPE, text=True)
    shutil.rmtree(database, ignore_errors=True)
    if out.returncode != 0:
        fail("pcsh failed; its message stands above")
    return [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]


def measure_own(work, model, device, kv, tokens, runs):
    count = tokens // MODULE_TOKENS
    modules = ", ".join(f"MODULE m{i} AS {quote(letters(MODULE_TOKENS, i + 1))}" for i in range(count))
    used = ", ".join(f"m{i}" for i in range(count))
    prompt = f" FROM s USE {used} PROMPT {quote(letters(QUESTION_TOKENS, 1000))}"
    ask = "SELECT GENERATE (max_tokens => 1, ignore_eos => true)" + prompt
    cold_runs = min(runs, 3)
    rows = pcsh(work, f"""
CREATE MODEL m FROM {quote(str(model))} WITH (device = {quote(device)}, kv_dtype = {quote(kv)});
CREATE SCHEMA s USING m ({modules});
SET cpu_cache = '48GB';
SELECT GENERATE (max_tokens => 1) FROM s PROMPT 'warm up' WITH (cache = off);
""" + f"{ask} WITH (reuse = 'none');\n" * (1 + cold_runs) + f"""
WARM s;
""" + f"{ask};\n" * (1 + runs) + f"""
SET gpu_cache = '24GB';
WARM s;
""" + f"{ask};\n" * (1 + runs) + f"""
SELECT TOKENS{prompt};
SELECT LOGPROBS{prompt} WITH (reuse = 'exact');
SELECT value FROM pc_stats WHERE name = 'gpu_bytes';
ANALYZE;
""")
    answers = [row for row in rows if "ttft_ms" in row][1:]
    if len(answers) != cold_runs + 2 * runs + 3:
        fail(f"expected {cold_runs + 2 * runs + 3} answers, and got {len(answers)}")
    median = lambda some: statistics.median(row["ttft_ms"] for row in some[1:])  # the first one warms up
    cold, cpu, gpu = answers[:1 + cold_runs], answers[1 + cold_runs:2 + cold_runs + runs], answers[2 + cold_runs + runs:]
    rates = {row["what"]: row["value"] for row in rows if "what" in row}
    return {
        "cold_ms": median(cold), "cpu_ms": median(cpu), "gpu_ms": median(gpu),
        "prompt_tokens": gpu[-1]["prompt_tokens"], "cached_tokens": gpu[-1]["cached_tokens"],
        "ids": [row["id"] for row in rows if "id" in row and "logprob" not in row],
        "logprobs": [row["logprob"] for row in rows if row.get("logprob") is not None],
        "gpu_bytes": next(row["value"] for row in rows if set(row) == {"value"}),
        "copy_bytes_per_second": rates["states copied to the device"] * 1e9,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tokens", default=None)
    parser.add_argument("--kv", default="bf16,int8")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    for program in (BUILD / "shell" / "pcsh", BUILD / "bench" / "random_model"):
        if not program.exists():
            fail(f"{program} is missing; build with -DPROMPTDB_CUDA=ON, and name the folder in PROMPTDB_BUILD")
    work = BUILD / "bench" / "compare_device"
    work.mkdir(parents=True, exist_ok=True)
    model = options.model or write_model(work, "quick" if options.quick else "7b")
    lengths = [int(n) for n in (options.tokens or ("1024" if options.quick else "3072,5120")).split(",")]
    on_gpu = options.device.startswith("cuda")

    torch, reference, peer_device = None, None, options.device if on_gpu else "cpu"
    if not options.no_torch:
        import torch
        reference = Llama(torch, model, peer_device)
    pinned = pinned_rate(torch, peer_device) if torch and on_gpu else None
    card = torch.cuda.get_device_name() if torch and on_gpu else options.device

    results = []
    for kv in options.kv.split(","):
        for tokens in lengths:
            print(f"{tokens} tokens, states in {kv} …", file=sys.stderr)
            if torch and on_gpu:
                torch.cuda.empty_cache()
            own = measure_own(work, model, options.device, kv, tokens, options.runs)
            ids, ours = own.pop("ids"), own.pop("logprobs")
            result = {"kv": kv, "tokens": tokens, **own}
            if reference:
                result["torch_ms"] = measure_torch(torch, reference, ids, options.runs)
                theirs = torch_logprobs(torch, reference, ids)
                result["logprob_difference"] = statistics.mean(abs(a - b) for a, b in zip(ours, theirs, strict=True))
            result["llama_cpp_ms"] = measure_llama_cpp(model, own["prompt_tokens"], options.runs) if on_gpu else None
            results.append(result)

    ms = lambda value: f"{value:.1f} ms" if value else ""
    times = lambda value: f"{value:.1f}x" if value else ""
    print(f"{time.strftime('%Y-%m-%d')}, {card}, {model.name}")
    print("| states | prompt (cached) | PyTorch, full prefill | llama.cpp | PromptDB, computed | states in CPU memory "
          f"| of PyTorch (target {TARGETS['cpu']}x) | in GPU memory | of PyTorch (target {TARGETS['gpu']}x) | mean difference of log-probabilities |")
    print("|" + " --- |" * 10)
    for r in results:
        full = r.get("torch_ms")
        print(f"| {r['kv']} | {r['prompt_tokens']} ({r['cached_tokens']}) | {ms(full)} | {ms(r['llama_cpp_ms'])} | {ms(r['cold_ms'])} "
              f"| {ms(r['cpu_ms'])} | {times(full and full / r['cpu_ms'])} | {ms(r['gpu_ms'])} | {times(full and full / r['gpu_ms'])} "
              f"| {format(r['logprob_difference'], '.2g') if 'logprob_difference' in r else ''} |")
    copied = max(r["copy_bytes_per_second"] for r in results)
    print(f"\nStates are copied to the device at {copied / 1e9:.1f} GB/s", end="")
    print(f", {copied / pinned:.0%} of one copy from pinned memory at {pinned / 1e9:.1f} GB/s (target {COPY_TARGET:.0%})."
          if pinned else ".")
    if options.json:
        options.json.write_text(json.dumps({"device": card, "model": model.name, "pinned_bytes_per_second": pinned,
                                            "results": results}, indent=2))


if __name__ == "__main__":
    main()
