#!/bin/sh
# A custom stage in shell: the first lines of a table.
set -eu
head -n "$MILLRACE_PARAM_LINES" "$MILLRACE_INPUT_COUNTS/counts.tsv" > "$MILLRACE_OUTPUT_TABLE/top.tsv"
