#!/usr/bin/env python3
"""What a stage costs, beside bare posix_spawn and peers, in one run. `bazel run //tests/bench:stage_cost`

Cold: N independent `custom` stages with a ten-byte output. Again: the same, nothing to do. Layers: 20 layers of 50
stages, each of which reads two of the layer before and the first a file each; one file is changed, and changed back:
how many stages run is checked, not how long it takes. Peers (doit, Snakemake) are measured where they are installed:
`--peers=doit,snakemake`, found on the PATH. Ratios are of medians; the minimum is there for busy machines.
"""

import argparse
import json
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


LAYERS, WIDTH = 20, 50


# Stage l_i reads l-1_i and l-1_(i+1), and writes what it read, hashed.
def layers():
    stages = []
    for layer in range(LAYERS):
        for i in range(WIDTH):
            if layer == 0:
                inputs = 'input { name: "a" file: "source/%d" }' % i
            else:
                inputs = " ".join('input { name: "%s" from: "l%d_%d" }' % (name, layer - 1, other % WIDTH)
                                  for name, other in (("a", i), ("b", i + 1)))
            stages.append('stage { name: "l%d_%d" custom { command { argument: "sh" argument: "-c" argument: "find -L '
                          'in -type f | sort | xargs cat | sha256sum > $MILLRACE_OUTPUT_OUT/f" } %s output '
                          '{ name: "out" } } }' % (layer, i, inputs))
    return 'name: "layers"\n' + "\n".join(stages) + "\n"


def check_layers(run, folder):
    """`run(file, home, ...)` is a command. Prints how many stages ran, and ends the program if it is not as it must be."""
    os.makedirs(os.path.join(folder, "source"))

    def write(i, text):
        with open(os.path.join(folder, "source", str(i)), "w") as f:
            f.write(text)

    for i in range(WIDTH):
        write(i, "source %d\n" % i)
    with open(os.path.join(folder, "layers.textproto"), "w") as f:
        f.write(layers())

    def expect(what, count):
        command = run(os.path.join(folder, "layers.textproto"), os.path.join(folder, "home"))
        done = subprocess.run(command + ["--format=json"], cwd=folder, stdout=subprocess.PIPE, check=True)
        ran = sum(stage["state"] != "cached" for stage in json.loads(done.stdout)["stages"])
        print("%-45s %4d of %d stages run" % (what, ran, LAYERS * WIDTH))
        if ran != count:
            sys.exit("expected %d" % count)

    expect("layers, cold", LAYERS * WIDTH)
    expect("layers, nothing to do", 0)
    write(7, "changed\n")
    write(7, "source 7\n")
    expect("layers, one file changed and changed back", 0)
    write(7, "changed\n")
    expect("layers, one file changed", sum(range(1, LAYERS + 1)))  # those behind it: one more in each layer
    write(7, "source 7\n")
    expect("layers, it is changed back after that run", 0)


# `uptodate`: without it doit runs what has no file_dep each time.
DODO = """
def task_all():
    for i in range(%d):
        yield {'name': str(i), 'actions': ['printf 0123456789 > out/%%d' %% i], 'targets': ['out/%%d' %% i],
               'uptodate': [True]}
"""

SNAKEFILE = """
rule all:
    input: expand("out/{i}", i=range(%d))
rule one:
    output: "out/{i}"
    shell: "printf 0123456789 > {output}"
"""


PEERS = {
    "doit": ("dodo.py", DODO, ["doit", "-n", "JOBS"]),
    "snakemake": ("Snakefile", SNAKEFILE, ["snakemake", "-j", "JOBS", "-q"]),
}


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
    parser.add_argument("--idle_runs", type=int, default=5, help="of idle_count stages, in each run")
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

    def run(file, home):
        return [millrace, "run", file, "--home=" + home, "--out=" + home + ".out", "--jobs=%d" % arguments.jobs,
                "--progress=quiet"]

    def in_root(*parts):
        return os.path.join(root, *parts)

    try:
        for name, count in (("cold.textproto", arguments.count), ("idle.textproto", arguments.idle_count)):
            with open(in_root(name), "w") as f:
                f.write(pipeline_of(count))
        floor_name, idle = "posix_spawn, %d" % arguments.count, run(in_root("idle.textproto"), in_root("idle_home"))
        note("millrace, %d stages, cold" % arguments.idle_count, seconds_of(idle, root))
        for i in range(arguments.runs):
            os.makedirs(in_root("floor%d" % i))
            note(floor_name, seconds_of([floor, str(arguments.count), str(arguments.jobs), in_root("floor%d" % i)], root))
            cold = run(in_root("cold.textproto"), in_root("home%d" % i))
            note("millrace, cold", seconds_of(cold, root))
            note("millrace, nothing to do", seconds_of(cold, root))
            for _ in range(arguments.idle_runs):
                note("millrace, %d stages, nothing to do" % arguments.idle_count, seconds_of(idle, root))
            for peer in filter(None, arguments.peers.split(",")):
                name, text, command = PEERS[peer]
                work = in_root("%s%d" % (peer, i))
                os.makedirs(os.path.join(work, "out"))
                with open(os.path.join(work, name), "w") as f:
                    f.write(text % arguments.count)
                command = [word.replace("JOBS", str(arguments.jobs)) for word in command]
                note(peer + ", cold", seconds_of(command, work))
                note(peer + ", nothing to do", seconds_of(command, work))
        os.makedirs(in_root("layers"))
        check_layers(run, in_root("layers"))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    base = statistics.median(times[floor_name])
    for name, values in times.items():
        median = statistics.median(values)
        print("%-45s %8.3f s (at least %.3f)   %6.2f x posix_spawn" % (name, median, min(values), median / base))


main()
