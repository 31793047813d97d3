"""Writes pieces.jsonl: random texts, and where Hugging Face's `tokenizers` cuts them.

A line: {"text": ..., NAME: [characters of each piece], ...}; the first line has {NAME: its steps} instead, as
[kind, pattern]. The sequences of pre_tokenizer.cc are not in the first line: their patterns come from there.

    python3 -m venv V && V/bin/pip install tokenizers==0.23.3
    V/bin/python data/tokenizer/testdata/pre_tokenizer/generate.py PATTERNS > .../pieces.jsonl

PATTERNS is what `bazel run //data/tokenizer:print_split_steps` prints.
"""

import json
import random
import sys

from tokenizers import Regex, pre_tokenizers

OTHERS = {
    "llama3": [
        ["regex", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                  "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"],
    ],
    "trailing": [["regex", "\\s+$"], ["digits", ""]],
    "mixed": [["text", "ab"], ["regex", "x{2,3}|y+?z|^ "]],
    "v3_words": [["regex", None]],  # the last of deepseek_v3
}

POOL = (
    list("abzAZ019 .,'!-(\"$+<_ \n\r\t") * 6
    + list("'s't'll'rex y zxxab  ") * 2
    + list("éßΩжא中文龥龦一々〇かゟ゠カー・゙ｶ가힣퟿नमः๏กေ")
    + ["\u00a0", "\u3000", "\u2028", "\u0085", "\u000b", "\u001c", "\u200b", "\u200d", "\ufeff", "\u0000", "\u007f", "\ufffd"]
    + ["\u0301", "\u0e31", "½", "٣", "Ⅷ", "²", "€", "…", "。", "，", "「", "～", "‘", "⁂", "ſ", "K", "ℂ", "\U0001F600", "\U00010400"]
    + ["\U0001d7ce", "\U000e0001", "\ue000", "\U0010ffff", "\u0378", "\u3040", "\u3097", "\u1c89", "\U00011de0", "\U00020000"]
)


def split(steps):
    passes = []
    for kind, pattern in steps:
        if kind == "regex":
            passes.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
        elif kind == "text":
            passes.append(pre_tokenizers.Split(pattern, "isolated"))
        else:
            passes.append(pre_tokenizers.Digits(individual_digits=kind == "individual_digits"))
    return pre_tokenizers.Sequence(passes)


def main():
    ours = json.load(open(sys.argv[1]))
    OTHERS["v3_words"] = [ours["deepseek_v3"][-1]]
    print(json.dumps(OTHERS))
    sequences = {name: split(steps) for name, steps in {**ours, **OTHERS}.items()}
    random.seed(20)
    for row in range(600):
        pool = random.sample(POOL, random.choice([3, 6, 20, len(POOL)]))
        text = "".join(random.choice(pool) * random.choice([1, 1, 1, 1, 2, 3, 5]) for _ in range(random.randint(0, 40)))
        line = {"text": text}
        for name, sequence in sequences.items():
            pieces = sequence.pre_tokenize_str(text) if text else []
            assert "".join(piece for piece, _ in pieces) == text
            line[name] = [len(piece) for piece, _ in pieces]
        print(json.dumps(line))


if __name__ == "__main__":
    main()
