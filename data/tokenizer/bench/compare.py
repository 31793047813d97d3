"""Encoding speed beside Hugging Face's tokenizers and fastokens, in one run on one thread.

    python3 -m venv V && V/bin/pip install tokenizers==0.23.3 fastokens==0.3.5
    bazel build -c opt //data/tokenizer:encode_benchmark
    V/bin/python data/tokenizer/bench/compare.py bazel-bin/data/tokenizer/encode_benchmark TOKENIZER.json INPUT.jsonl...

Prints MB of text per second of processor time, the first round (cold) and the best one (five; three for tokenizers),
and whether all gave the same ids (fastokens and tokenizers are compared in full, ours by number).
"""

import json
import os
import re
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import fastokens  # noqa: E402  (the variables come first)
import tokenizers  # noqa: E402


def rounds(count, encode):
    seconds = []
    for _ in range(count):
        begin = time.process_time()
        result = encode()
        seconds.append(time.process_time() - begin)
    return result, seconds[0], min(seconds)


def main():
    program, tokenizer, *inputs = sys.argv[1:]
    print(f"{'input':32} {'MB':>6}  {'who':12} {'first':>7} {'best':>7}  ids")
    for path in inputs:
        texts = [json.loads(line)["text"] for line in open(path, encoding="utf-8")]
        size = sum(len(text.encode()) for text in texts) / 1e6
        name = "/".join(path.split("/")[-2:])

        def row(who, first, best, ids):
            print(f"{name:32} {size:6.2f}  {who:12} {size / first:7.1f} {size / best:7.1f}  {ids}", flush=True)

        output = subprocess.run([program, tokenizer, path], check=True, capture_output=True, text=True).stdout
        ids, first, best = re.search(r"(\d+) ids, ([\d.]+) MB/s at first, ([\d.]+) MB/s at best", output).groups()
        row("millrace", size / float(first), size / float(best), ids)

        fast = fastokens.Tokenizer.from_file(tokenizer)
        (flat, _), first, best = rounds(5, lambda: fast.encode_batch_flat(texts))
        row("fastokens", first, best, len(flat) // 4)

        hugging_face = tokenizers.Tokenizer.from_file(tokenizer)
        encodings, first, best = rounds(3, lambda: hugging_face.encode_batch_fast(texts, add_special_tokens=False))
        expected = [i for encoding in encodings for i in encoding.ids]
        row("tokenizers", first, best, len(expected))
        assert int(ids) == len(expected)
        if memoryview(flat).cast("I").tolist() != expected:
            print(f"{name}: fastokens gives other ids")


if __name__ == "__main__":
    main()
