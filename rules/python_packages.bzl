"""Python packages from PyPI's wheels, for tests that read our files with other people's programs."""

load(":pip.bzl", "download_wheels", "run_python")

_BUILD = """
# Made by rules/python_packages.bzl.
package(default_visibility = ["//visibility:public"])

# For a test's `data`; the folder site/ goes into its sys.path.
filegroup(
    name = "packages",
    srcs = glob(["site/**"]),
)
"""

_UNPACK = """
import glob, shutil, zipfile
for wheel in glob.glob('wheels/*.whl'):
    with zipfile.ZipFile(wheel) as z:
        z.extractall('site')
shutil.rmtree('wheels')
"""

def _python_packages_impl(repository_ctx):
    download_wheels(repository_ctx, "Python packages (4 MB)")
    run_python(repository_ctx, _UNPACK)
    repository_ctx.file("BUILD.bazel", _BUILD)

python_packages_repository = repository_rule(
    implementation = _python_packages_impl,
    doc = "Provides @NAME//:packages, the files of a lock file's wheels below site/.",
    attrs = {"lock": attr.label(allow_single_file = True, mandatory = True, doc = "requirements with hashes, as pip reads them")},
)
