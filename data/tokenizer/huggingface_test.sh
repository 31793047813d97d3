#!/bin/sh
# huggingface_check.py in a virtual environment of its own, with packages from PyPI.
set -eu
python3 -m venv "$TEST_TMPDIR/venv"
"$TEST_TMPDIR/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3 transformers==5.23.0
exec "$TEST_TMPDIR/venv/bin/python" data/tokenizer/huggingface_check.py data/tokenizer/train_tokenizer \
    data/tokenizer/encode data/tokenizer/testdata/bpe_train/corpus.jsonl
