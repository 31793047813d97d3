#!/usr/bin/env python3
"""Runs throughput and peer_pytorch.py in turn and prints both with their ratios.

    compare.py --throughput bazel-bin/trainer/bench/throughput --python PYTHON [--model 10m|laptop] [--rounds 3]

PYTHON is an interpreter that has torch (2.11.0 for a fair comparison: the same libraries).
"""
import argparse
import json
import os
import statistics
import subprocess


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--throughput", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--model", default="10m")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--leaf_sequences", type=int, default=1)
    args = parser.parse_args()
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_pytorch.py")
    common = [f"--model={args.model}", f"--threads={args.threads}", f"--steps={args.steps}"]
    commands = {
        "millrace": [args.throughput, *common, f"--leaf_sequences={args.leaf_sequences}"],
        "pytorch eager": [args.python, peer, *common],
    }
    results = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            results[name].append(run(command))
    print(f"{'':16}{'tokens/s':>10}{'step s':>10}{'cpu s':>10}{'peak MB':>10}")
    median = {}
    for name, rows in results.items():
        median[name] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        m = median[name]
        print(f"{name:16}{m['tok_s']:10.0f}{m['step_s']:10.4f}{m['cpu_s']:10.4f}{m['peak_rss_mb']:10.0f}")
    ours, theirs = median["millrace"], median["pytorch eager"]
    print(f"{'ratio':16}{ours['tok_s'] / theirs['tok_s']:10.2f}{ours['step_s'] / theirs['step_s']:10.2f}"
          f"{ours['cpu_s'] / theirs['cpu_s']:10.2f}{ours['peak_rss_mb'] / theirs['peak_rss_mb']:10.2f}")


if __name__ == "__main__":
    main()
