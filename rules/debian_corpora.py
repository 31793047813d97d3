"""Makes JSONL corpora from unpacked Debian packages: {"id", "text"} a line. Run by rules/debian_corpora.bzl.

usage: debian_corpora.py PACKAGES_DIR OUT_DIR

PACKAGES_DIR holds one folder per package, as `dpkg-deb -x` leaves it. Order and content depend on the packages alone.
"""

import gzip
import html.parser
import json
import os
import re
import subprocess
import sys


def files_below(folder, suffix=""):
    """Regular files, by path in byte order."""
    found = []
    for directory, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            if name.endswith(suffix) and os.path.isfile(path) and not os.path.islink(path):
                found.append(os.path.relpath(path, folder))
    return sorted(found, key=os.fsencode)


def read_text(path):
    """UTF-8, or Latin-1 where it is not that (some old Perl modules)."""
    with open(path, "rb") as f:
        content = f.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


class _Text(html.parser.HTMLParser):
    """The text of a page: blocks on lines of their own, no scripts, no navigation before the content."""

    BLOCKS = {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "tr", "td", "th", "pre", "br", "dt", "dd", "table"}
    SKIPPED = {"script", "style", "noscript", "head", "header", "aside", "nav", "footer", "button"}

    def __init__(self):
        super().__init__()
        self.parts = []
        self.skipping = 0

    def handle_starttag(self, tag, attrs):
        if tag in self.SKIPPED:
            self.skipping += 1
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag):
        if tag in self.SKIPPED and self.skipping:
            self.skipping -= 1
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data):
        if not self.skipping:
            self.parts.append(data)


def text_of_html(page):
    parser = _Text()
    parser.feed(page)
    lines = (re.sub(r"\s+", " ", line).strip() for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def sections(text, prefix, heading):
    """Cuts a book at its section headings; what stands before the first (the contents) is left out."""
    starts = [m.start() for m in re.finditer(heading, text, re.M)]
    for i, start in enumerate(starts):
        body = text[start : starts[i + 1] if i + 1 < len(starts) else len(text)].strip()
        if len(body) >= 200:
            yield "%s/%04d" % (prefix, i), body


def git_doc(root):
    base = os.path.join(root, "git-doc/usr/share/doc/git-doc")
    for name in files_below(base, ".txt"):
        yield "git-doc/" + name, read_text(os.path.join(base, name))


def debian_reference(root, package, language):
    path = os.path.join(root, package, "usr/share/debian-reference/debian-reference.%s.txt.gz" % language)
    with gzip.open(path, "rb") as f:
        book = f.read().decode("utf-8", "strict").replace("\r\n", "\n").replace("\u00a0", " ")
    yield from sections(book, package, r"^\d+\.\d+\. \S")


def libreoffice_help(root):
    base = os.path.join(root, "libreoffice-help-zh-cn/usr/share/libreoffice/help/zh-CN/text")
    for name in files_below(base, ".html"):
        text = text_of_html(read_text(os.path.join(base, name)))
        if len(text) >= 100:
            yield "libreoffice-help/" + name, text


def fortunes(root):
    base = os.path.join(root, "fortunes-zh/usr/share/games/fortunes")
    for name in ["chinese", "song100", "tang300"]:
        text = re.sub(r"\x1b\[[0-9;]*m", "", read_text(os.path.join(base, name)))
        for i, entry in enumerate(text.split("\n%\n")):
            if entry.strip():
                yield "fortunes-zh/%s/%05d" % (name, i), entry.strip() + "\n"


def libc_headers(root):
    base = os.path.join(root, "libc6-dev/usr/include")
    for name in files_below(base, ".h"):
        yield "libc6-dev/" + name, read_text(os.path.join(base, name))


def perl_modules(root):
    """Without the tables: Unicode's, and files of over 100 kB, which are data in the form of code."""
    base = os.path.join(root, "perl-modules-5.36/usr/share/perl/5.36.0")
    for name in files_below(base, ".pm"):
        path = os.path.join(base, name)
        if not name.startswith("Unicode/") and os.path.getsize(path) <= 100000:
            yield "perl-modules/" + name, read_text(path)


def bible(root):
    """One document a chapter, through the reader program of package bible-kjv."""
    reader = os.path.join(root, "bible-kjv/usr/bin/bible")
    data = os.path.join(root, "bible-kjv-text/usr/lib")
    lines = subprocess.run(
        [reader, "-f", "-p", data, "Gen1:1-Rev22:21"], stdin=subprocess.DEVNULL, capture_output=True, check=True
    ).stdout.decode("utf-8").splitlines()
    chapter, verses = None, []
    for line in lines:
        match = re.match(r"([0-9A-Za-z]+?)(\d+):(\d+) (.*)", line)
        if not match:
            continue
        here = (match[1], int(match[2]))
        if here != chapter:
            if verses:
                yield "bible-kjv/%s/%03d" % chapter, "\n".join(verses) + "\n"
            chapter, verses = here, []
        verses.append("%s %s" % (match[3], match[4]))
    yield "bible-kjv/%s/%03d" % chapter, "\n".join(verses) + "\n"


def main():
    root, out = sys.argv[1:]
    corpora = {
        "debian_docs_en": [git_doc(root), debian_reference(root, "debian-reference-en", "en")],
        "debian_docs_zh": [
            libreoffice_help(root),
            debian_reference(root, "debian-reference-zh-cn", "zh-cn"),
            fortunes(root),
        ],
        "debian_code": [libc_headers(root), perl_modules(root)],
        "bible_kjv": [bible(root)],
    }
    for name, parts in corpora.items():
        os.makedirs(os.path.join(out, name), exist_ok=True)
        count = 0
        with open(os.path.join(out, name, "docs.jsonl"), "w", encoding="utf-8", newline="\n") as f:
            for part in parts:
                for identifier, text in part:
                    f.write(json.dumps({"id": identifier, "text": text}, ensure_ascii=False) + "\n")
                    count += 1
        if count < 100:
            sys.exit("%s: only %d documents: the packages are not laid out as expected" % (name, count))


main()
