#!/usr/bin/env python3
"""A custom stage in Python: counts the characters of documents.

Millrace gives it MILLRACE_INPUT_DOCUMENTS and MILLRACE_OUTPUT_COUNTS (folders) and MILLRACE_PARAM_MIN_COUNT.
"""

import collections
import glob
import json
import os


def main():
    counts = collections.Counter()
    for path in sorted(glob.glob(os.path.join(os.environ["MILLRACE_INPUT_DOCUMENTS"], "documents-*.jsonl"))):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                counts.update(c for c in json.loads(line)["text"] if not c.isspace())
    least = int(os.environ["MILLRACE_PARAM_MIN_COUNT"])
    # A result must not depend on the order of a dictionary: most frequent first, then by code point.
    rows = sorted(((-n, c) for c, n in counts.items() if n >= least))
    with open(os.path.join(os.environ["MILLRACE_OUTPUT_COUNTS"], "counts.tsv"), "w", encoding="utf-8") as out:
        for n, c in rows:
            out.write("%s\t%d\n" % (c, -n))
    # A figure for the report: one line of JSON, in one write.
    with open(os.environ["MILLRACE_EVENTS"], "a", encoding="utf-8") as events:
        events.write(json.dumps({"metric": {"name": "characters", "value": len(rows)}}) + "\n")


main()
