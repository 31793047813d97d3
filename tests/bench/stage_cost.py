#!/usr/bin/env python3
"""What a stage costs, beside bare posix_spawn and peers, in one run. `bazel run //tests/bench:stage_cost`

Cold: N independent `custom` stages with a ten-byte output. Again: the same, nothing to do. Peers (doit, Snakemake) are
measured where they are installed: `--peers=doit,snakemake`, found on the PATH. Ratios are of medians.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def pipeline_of(count):
    stages = ['stage { name: "s%d" custom { command { argument: "sh" argument: "-c" argument: '
              '"printf 0123456789 > $MILLRACE_OUTPUT_OUT/f" } parameter { name: "i" value: "%d" } output { name: "out" } } }'
              % (i, i) for i in range(count)]
    return 'name: "trivial"\n' + "\n".join(stages) + "\n"


DODO = """
def task_all():
    for i in range(%d):
        yield {'name': str(i), 'actions': ['printf 0123456789 > out/%%d' %% i], 'targets': ['out/%%d' %% i]}
"""

SNAKEFILE = """
rule all:
    input: expand("out/{i}", i=range(%d))
rule one:
    output: "out/{i}"
    shell: "printf 0123456789 > {output}"
"""


def seconds_of(command, cwd):
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s: exit %d\n%s" % (command[0], done.returncode, done.stderr[-2000:]))
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--idle_count", type=int, default=10000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", default="")
    arguments = parser.parse_args()
    runfiles = os.path.join(os.environ.get("RUNFILES_DIR") or sys.argv[0] + ".runfiles", "millrace")
    if not os.path.isdir(runfiles):
        runfiles = os.getcwd()
    millrace, floor = os.path.join(runfiles, "executor/cli/millrace"), os.path.join(runfiles, "tests/bench/spawn_floor")
    root = tempfile.mkdtemp(prefix="stage_cost.")
    times = {}

    def note(name, seconds):
        times.setdefault(name, []).append(seconds)

    try:
        for name, count in (("cold.textproto", arguments.count), ("idle.textproto", arguments.idle_count)):
            with open(os.path.join(root, name), "w") as f:
                f.write(pipeline_of(count))
        run = lambda file, home: [millrace, "run", os.path.join(root, file), "--home=" + home, "--out=" + home + ".out", "--jobs=%d" % arguments.jobs, "--progress=quiet"]
        idle_home = os.path.join(root, "idle_home")
        note("millrace, %d stages, cold" % arguments.idle_count, seconds_of(run("idle.textproto", idle_home), root))
        for i in range(arguments.runs):
            out = os.path.join(root, "floor%d" % i)
            os.makedirs(out)
            note("posix_spawn, %d" % arguments.count, seconds_of([floor, str(arguments.count), str(arguments.jobs), out], root))
            home = os.path.join(root, "home%d" % i)
            note("millrace, cold", seconds_of(run("cold.textproto", home), root))
            note("millrace, nothing to do", seconds_of(run("cold.textproto", home), root))
            note("millrace, %d stages, nothing to do" % arguments.idle_count, seconds_of(run("idle.textproto", idle_home), root))
            for peer in filter(None, arguments.peers.split(",")):
                work = os.path.join(root, "%s%d" % (peer, i))
                os.makedirs(os.path.join(work, "out"))
                with open(os.path.join(work, {"doit": "dodo.py", "snakemake": "Snakefile"}[peer]), "w") as f:
                    f.write({"doit": DODO, "snakemake": SNAKEFILE}[peer] % arguments.count)
                command = {"doit": ["doit", "-n", str(arguments.jobs)], "snakemake": ["snakemake", "-j", str(arguments.jobs), "-q"]}[peer]
                note(peer + ", cold", seconds_of(command, work))
                note(peer + ", nothing to do", seconds_of(command, work))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    base = statistics.median(times["posix_spawn, %d" % arguments.count])
    for name, values in times.items():
        print("%-45s %8.3f s   %6.2f x posix_spawn" % (name, statistics.median(values), statistics.median(values) / base))


main()
