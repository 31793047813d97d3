"""Free text for the laptop profile, from Debian packages: English, Chinese and code (C headers, Perl modules)."""

# Package -> licence of its text. bible-kjv is the reader of bible-kjv-text.
_PACKAGES = [
    "bible-kjv",  # GPL-2+; its text is in the public domain
    "bible-kjv-text",
    "debian-reference-en",  # GPL-2+
    "debian-reference-zh-cn",
    "fortunes-zh",  # GPL-2+; the poems are in the public domain
    "git-doc",  # GPL-2
    "libc6-dev",  # LGPL-2.1+
    "libreoffice-help-zh-cn",  # MPL-2.0
    "perl-modules-5.36",  # GPL-1+ or Artistic
]

_CORPORA = ["bible_kjv", "debian_code", "debian_docs_en", "debian_docs_zh"]

_BUILD = """
# Made by rules/debian_corpora.bzl.
package(default_visibility = ["//visibility:public"])
"""

_FILEGROUP = """
filegroup(
    name = "{name}",
    srcs = ["{name}/docs.jsonl"],
)
"""

def _fetch(repository_ctx):
    if not repository_ctx.which("apt-get") or not repository_ctx.which("dpkg-deb"):
        fail("debian_corpora: this machine has no apt-get.\n  why: the laptop profile's text comes from Debian packages\n" +
             "  fix: set MILLRACE_CORPORA to a folder with {} (each with docs.jsonl)".format(", ".join(_CORPORA)))
    repository_ctx.file("debs/.keep", "")
    for attempt in range(3):
        repository_ctx.report_progress("downloading %d Debian packages (17 MB), attempt %d of 3" % (len(_PACKAGES), attempt + 1))

        # apt checks size and hash against its signed lists.
        result = repository_ctx.execute(
            ["apt-get", "-o", "Acquire::Retries=3", "download"] + _PACKAGES,
            timeout = 600,
            working_directory = "debs",
        )
        if result.return_code == 0:
            break
    if result.return_code != 0:
        fail("debian_corpora: apt-get download failed:\n" + result.stderr + "\n  fix: run `apt-get update`, then again")
    for package in _PACKAGES:
        script = 'mkdir -p packages && dpkg-deb -x debs/{0}_*.deb packages/{0}'.format(package)
        result = repository_ctx.execute(["sh", "-c", script])
        if result.return_code != 0:
            fail("debian_corpora: could not unpack %s: %s" % (package, result.stderr))

def _debian_corpora_impl(repository_ctx):
    own = repository_ctx.os.environ.get("MILLRACE_CORPORA")
    if own:
        for name in _CORPORA:
            if not repository_ctx.path(own + "/" + name + "/docs.jsonl").exists:
                fail("MILLRACE_CORPORA=%s has no %s/docs.jsonl" % (own, name))
            repository_ctx.symlink(own + "/" + name, name)
    else:
        _fetch(repository_ctx)
        python = "/usr/bin/python3" if repository_ctx.path("/usr/bin/python3").exists else "python3"
        result = repository_ctx.execute([python, repository_ctx.path(repository_ctx.attr._program), "packages", "."], timeout = 600)
        if result.return_code != 0:
            fail("debian_corpora: " + result.stderr)
        repository_ctx.delete("debs")
        repository_ctx.delete("packages")
    repository_ctx.file("BUILD.bazel", _BUILD + "".join([_FILEGROUP.format(name = name) for name in _CORPORA]))

debian_corpora_repository = repository_rule(
    implementation = _debian_corpora_impl,
    doc = "Provides @debian_corpora//:NAME for each corpus: JSONL, {id, text} a line.",
    attrs = {"_program": attr.label(default = "//rules:debian_corpora.py", allow_single_file = True)},
    environ = ["MILLRACE_CORPORA"],
)
