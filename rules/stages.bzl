"""The stage kinds that come with Millrace, and the program of each: the one list."""

STAGE_PROGRAMS = {
    "corpus": "//data/corpus:corpus",
    "dedup": "//data/dedup:dedup",
    "evaluate": "//trainer/eval:evaluate",
    "filter": "//data/filter:filter",
    "mix": "//data/shards:mix",
    "pack": "//data/shards:pack",
    "split": "//data/split:split",
    "tokenize": "//data/tokenizer:tokenize",
    "tokenizer": "//data/tokenizer:import_tokenizer",
    "train": "//trainer:train",
    "train_tokenizer": "//data/tokenizer:train_tokenizer",
}
