"""Encoding speed beside Hugging Face's tokenizers and fastokens, in one run on one thread.

    python3 -m venv V && V/bin/pip install tokenizers==0.23.3 fastokens==0.3.5
    bazel build -c opt //data/tokenizer:encode_benchmark
    V/bin/python data/tokenizer/bench/compare.py bazel-bin/data/tokenizer/encode_benchmark TOKENIZER.json INPUT.jsonl...

Five times, the three take turns: each with a cold cache ("first") and then the best of some more rounds. Printed are
the medians in MB of text per second of processor time, and the medians of the five ratios ours/theirs, which say more
on a machine whose speed drifts. All must give the same ids (fastokens and tokenizers are compared in full, ours by
number; //data/tokenizer:huggingface_test compares ours in full).
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import fastokens  # noqa: E402  (the variables come first)
import tokenizers  # noqa: E402

TURNS = 5


def timed(encode):
    begin = time.process_time()
    result = encode()
    return result, time.process_time() - begin


def run_ours(program, tokenizer, path):
    output = subprocess.run([program, tokenizer, path], check=True, capture_output=True, text=True).stdout
    ids, first, best = re.search(r"(\d+) ids, ([\d.]+) MB/s at first, ([\d.]+) MB/s at best", output).groups()
    return int(ids), float(first), float(best)


def run_fastokens(tokenizer, texts, size):
    fast = fastokens.Tokenizer.from_file(tokenizer)
    seconds = []
    for _ in range(4):
        (flat, _), spent = timed(lambda: fast.encode_batch_flat(texts))
        seconds.append(spent)
    return memoryview(flat).cast("I").tolist(), size / seconds[0], size / min(seconds)


def run_tokenizers(tokenizer, texts, size):
    hugging_face = tokenizers.Tokenizer.from_file(tokenizer)
    seconds = []
    for _ in range(2):
        encodings, spent = timed(lambda: hugging_face.encode_batch_fast(texts, add_special_tokens=False))
        seconds.append(spent)
    return [i for encoding in encodings for i in encoding.ids], size / seconds[0], size / min(seconds)


def main():
    program, tokenizer, *inputs = sys.argv[1:]
    print(f"{'input':32} {'MB':>6}  {'who':12} {'first':>7} {'best':>7}  {'ours/theirs':>11} {'':>7}")
    for path in inputs:
        texts = [json.loads(line)["text"] for line in open(path, encoding="utf-8")]
        size = sum(len(text.encode()) for text in texts) / 1e6
        name = "/".join(path.split("/")[-2:])
        speeds = {"millrace": [], "fastokens": [], "tokenizers": []}
        for _ in range(TURNS):
            count, first, best = run_ours(program, tokenizer, path)
            speeds["millrace"].append((first, best))
            fast_ids, first, best = run_fastokens(tokenizer, texts, size)
            speeds["fastokens"].append((first, best))
            expected, first, best = run_tokenizers(tokenizer, texts, size)
            speeds["tokenizers"].append((first, best))
            assert count == len(expected)
            if fast_ids != expected:
                print(f"{name}: fastokens gives other ids")
        for who, turns in speeds.items():
            first, best = (statistics.median(turn[i] for turn in turns) for i in (0, 1))
            ratios = [
                statistics.median(ours[i] / theirs[i] for ours, theirs in zip(speeds["millrace"], turns)) for i in (0, 1)
            ]
            print(
                f"{name:32} {size:6.2f}  {who:12} {first:7.1f} {best:7.1f}  {ratios[0]:11.2f} {ratios[1]:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
