#!/bin/sh
# run_in_venv.sh LOCK... -- PROGRAM.py ARGUMENT...
#
# Runs a program in a Python virtual environment of its own that holds the packages of the lock files, from PyPI, pinned
# by version and hash. For tests that need more of Python than a fresh machine has; they are tagged `slow`.
set -eu
venv=$TEST_TMPDIR/venv
trap 'rm -rf "$venv"' EXIT
requirements=""
while [ "$1" != -- ]; do
    requirements="$requirements -r $1"
    shift
done
shift
# Debian's python3 has venv, but not what would put pip into one.
python3 -m venv --without-pip "$venv"
# shellcheck disable=SC2086
python3 -m pip --python "$venv/bin/python" install --quiet --no-deps --require-hashes --only-binary=:all: \
    --no-cache-dir --disable-pip-version-check --retries=5 $requirements
"$venv/bin/python" "$@"
