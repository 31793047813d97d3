#!/usr/bin/env python3
"""Share of curl's rate: the same files through the same nginx on loopback, in one run. `bazel run //tests/bench:cache_rate`

Ours is verified and put into the storage on arrival; curl's is written to files. Needs nginx and curl. Medians.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", default="8x64,1x512,64x4", help="files x MiB, ...")
    arguments = parser.parse_args()
    runfiles = os.path.join(os.environ.get("RUNFILES_DIR") or sys.argv[0] + ".runfiles", "millrace")
    transfer, bed = os.path.join(runfiles, "tests/bench/cache_transfer"), os.path.join(runfiles, "tests/testbed/httpcache.sh")
    root = tempfile.mkdtemp(prefix="cache_rate.")
    environment = dict(os.environ, TB_HTTP_STATE=os.path.join(root, "nginx"))

    def output_of(*command):
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=root).stdout

    output_of(bed, "up")
    try:
        url = dict(line.split("=", 1) for line in output_of(bed, "env").split())["HTTP_CACHE_URL"]
        for shape in arguments.shapes.split(","):
            files, mib = map(int, shape.split("x"))
            total = files * mib
            seconds = {"put": [], "get": [], "curl put": [], "curl get": []}
            for round_ in range(arguments.rounds):
                home = os.path.join(root, "home%d" % round_)
                # Another path of the server each time: nothing is there yet.
                base = "%s/%s-%d" % (url, shape, round_)
                lines = output_of(transfer, "put", base, home, str(files), str(mib)).split()
                seconds["put"].append(float(lines[0]))
                tree, names = lines[1], lines[2:]
                seconds["get"].append(float(output_of(transfer, "get", base, home + "b", tree).split()[0]))
                got = os.path.join(root, "curl")
                os.makedirs(got)
                command = ["curl", "-s", "-f", "--parallel", "--parallel-max", "8"]
                for name in names:
                    command += ["-o", os.path.join(got, name), "%s/cas/%s" % (base, name)]
                begin = time.perf_counter()
                output_of(*command)
                seconds["curl get"].append(time.perf_counter() - begin)
                command = ["curl", "-s", "-f", "--parallel", "--parallel-max", "8", "-H", "Expect:"]
                for name in names:
                    command += ["-T", os.path.join(got, name), "%s-curl/cas/%s" % (base, name)]
                begin = time.perf_counter()
                output_of(*command)
                seconds["curl put"].append(time.perf_counter() - begin)
                for folder in (home, home + "b", got, os.path.join(root, "nginx/store/%s-%d" % (shape, round_)),
                               os.path.join(root, "nginx/store/%s-%d-curl" % (shape, round_))):
                    shutil.rmtree(folder, ignore_errors=True)
            median = {what: statistics.median(values) for what, values in seconds.items()}
            for what in ("get", "put"):
                print("%-7s %s  ours %6.0f MiB/s   curl %6.0f MiB/s   share %.2f" % (
                    shape, what, total / median[what], total / median["curl " + what], median["curl " + what] / median[what]))
    finally:
        output_of(bed, "down")
        shutil.rmtree(root, ignore_errors=True)


main()
