"""Writes unicode_classes.inc: the character classes of Hugging Face's `tokenizers`, asked of the library itself.

The classes in a Split pattern are those of its regular expression engine (Oniguruma) and the class of the Digits
pre-tokenizer is Rust's char::is_numeric; they belong to different Unicode versions, and to neither Python's nor RE2's.
So each code point is put to the library: a doubled character comes back as two pieces where it belongs to the class.

    python3 -m venv V && V/bin/pip install tokenizers==0.23.3
    V/bin/python data/tokenizer/generate_unicode_classes.py > data/tokenizer/unicode_classes.inc
"""

import tokenizers
from tokenizers import Regex, pre_tokenizers

# In the order of the bits of unicode_class in unicode_classes.h.
CLASSES = [
    pre_tokenizers.Split(Regex(r"\p{L}"), "isolated"),
    pre_tokenizers.Split(Regex(r"\p{M}"), "isolated"),
    pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
    pre_tokenizers.Split(Regex(r"\p{P}"), "isolated"),
    pre_tokenizers.Split(Regex(r"\p{S}"), "isolated"),
    pre_tokenizers.Split(Regex(r"\s"), "isolated"),
    pre_tokenizers.Split(Regex(r"\p{Nd}"), "isolated"),
    pre_tokenizers.Digits(individual_digits=True),
]


def bits_of(code_point):
    if 0xD800 <= code_point <= 0xDFFF:
        return 0
    twice = chr(code_point) * 2
    return sum(1 << bit for bit, splitter in enumerate(CLASSES) if len(splitter.pre_tokenize_str(twice)) == 2)


def main():
    rows = []
    for code_point in range(0x110000):
        bits = bits_of(code_point)
        if rows and rows[-1][2] == bits and rows[-1][1] == code_point - 1:
            rows[-1][1] = code_point
        elif bits:
            rows.append([code_point, code_point, bits])
    print(f"// Made by generate_unicode_classes.py from tokenizers {tokenizers.__version__}: {{first, last, class bits}}.")
    line = ""
    for first, last, bits in rows:
        entry = f"{{0x{first:X}, 0x{last:X}, {bits}}},"
        if len(line) + 1 + len(entry) > 118:
            print(line)
            line = ""
        line += (" " if line else "") + entry
    print(line)


if __name__ == "__main__":
    main()
