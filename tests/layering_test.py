#!/usr/bin/env python3
"""The arrows between folders point one way (ARCHITECTURE.md): reads every #include of the tree.

Also: a stage program includes the schema of its own kind only, and LibTorch stays in the folders that are made for it.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))

# Folder -> folders whose headers it may include, beside its own. The longest matching folder counts.
MAY_INCLUDE = {
    "base": [],
    "pipelines/protocol": ["base", "pipelines/schema"],
    "data": ["base", "pipelines"],
    "executor/cas": ["base", "pipelines"],
    "executor/graph": ["base", "pipelines", "executor/cas", "trainer/arch", "trainer/plan"],
    "executor/backends": ["base", "pipelines", "executor/cas"],
    "executor/agent": ["base", "pipelines", "executor/cas", "executor/backends"],
    "executor/engine": ["base", "pipelines", "executor/cas", "executor/graph", "executor/backends"],
    "executor/observe": ["base", "pipelines", "executor/cas", "executor/engine"],
    "executor/cli": ["base", "pipelines", "executor", "data", "trainer/arch", "trainer/plan", "trainer/checkpoint"],
    "trainer/arch": ["base", "pipelines/schema"],
    "trainer/schedule": ["base", "pipelines/schema", "trainer/arch"],
    "trainer/plan": ["base", "pipelines/schema", "trainer/arch", "trainer/schedule"],
    "trainer": ["base", "pipelines", "data", "trainer"],
    "tests": ["base", "pipelines", "executor", "data", "trainer"],
}
OURS = ("base/", "pipelines/", "executor/", "data/", "trainer/", "tests/")
WITHOUT_LIBTORCH = ("base/", "pipelines/", "executor/", "data/", "trainer/arch/", "trainer/schedule/", "trainer/plan/")
LIBTORCH = ("ATen/", "torch/", "c10/")
# Only these may know the whole vocabulary.
WHOLE_SCHEMA = {"pipelines/schema/pipeline.pb.h": ("executor/", "tests/"),
                "pipelines/schema/cluster.pb.h": ("executor/", "trainer/plan/", "tests/")}


def sources():
    for directory, folders, files in os.walk(ROOT):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "bazel-")) and f != "millrace-out")
        for name in sorted(files):
            if name.endswith((".cc", ".h")):
                yield os.path.relpath(os.path.join(directory, name), ROOT)


def layer_of(path):
    return max((f for f in MAY_INCLUDE if path.startswith(f + "/")), key=len, default=None)


def problems_of(path, text):
    layer = layer_of(path)
    if layer is None:
        yield "%s: in no folder of the house; add it to MAY_INCLUDE" % path
        return
    allowed = tuple(f + "/" for f in MAY_INCLUDE[layer] + [layer])
    is_test = path.endswith("_test.cc")
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
        if not match:
            continue
        included, where = match[1], "%s:%d" % (path, number)
        if included.startswith(OURS) and not included.startswith(allowed):
            yield "%s: %s may not include %s" % (where, layer, included)
        if included.startswith(LIBTORCH) and path.startswith(WITHOUT_LIBTORCH):
            yield "%s: no LibTorch here: %s" % (where, included)
        if included in WHOLE_SCHEMA and not path.startswith(WHOLE_SCHEMA[included]) and not is_test:
            yield "%s: only %s may know the whole vocabulary" % (where, " and ".join(WHOLE_SCHEMA[included]))


def self_test():
    bad = 'x\n#include "executor/engine/engine.h"\n#include "ATen/ATen.h"\n#include "pipelines/schema/pipeline.pb.h"\n'
    assert len(list(problems_of("data/corpus/a.cc", bad))) == 3, list(problems_of("data/corpus/a.cc", bad))
    assert not list(problems_of("data/corpus/a.cc", '#include "base/file.h"\n#include <vector>\n'))


def main():
    self_test()
    count, problems = 0, []
    for path in sources():
        count += 1
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            problems += problems_of(path, f.read())
    assert count > 20, "only %d sources found below %s" % (count, ROOT)
    print("%d sources" % count)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


main()
