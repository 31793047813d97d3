"""LibTorch from PyPI's wheels, pinned by version and hash; or the user's own, with LIBTORCH=/path."""

load(":pip.bzl", "download_wheels", "run_python")

_PLATFORMS = ["manylinux_2_28", "manylinux_2_27", "manylinux_2_25", "manylinux_2_18", "manylinux_2_17", "manylinux2014"]

_LIBRARIES = ["libtorch_cpu.so", "libc10.so", "libgomp.so.1"]

_CUDA_LIBRARIES = ["libcudart.so.13", "libcupti.so.13"]

_BUILD = """
# Made by rules/libtorch.bzl.
package(default_visibility = ["//visibility:public"])

# `hdrs` names the folder: one symlink in a sandbox instead of nine thousand.
cc_library(
    name = "libtorch",
    srcs = {srcs},
    hdrs = ["torch/include"],
    defines = ["USE_C10D_GLOO"],
    includes = [
        "torch/include",
        "torch/include/torch/csrc/api/include",
    ],
)
"""

def _download(repository_ctx):
    arguments = ["--implementation=cp", "--python-version=3.11"]
    for platform in _PLATFORMS:
        arguments += ["--platform", platform + "_x86_64"]
    download_wheels(
        repository_ctx,
        "LibTorch (545 MB)",
        fix = "point LIBTORCH at an unpacked torch 2.11 (the folder with include/ and lib/)",
        arguments = arguments,
        timeout = 1800,
        quiet = False,
    )

def _unpack(repository_ctx):
    # Not google/ (Protobuf headers that would shadow the system's), not pybind11/, not CUDA's libraries.
    program = """
import glob, os, shutil, sys, zipfile
keep = tuple(sys.argv[1].split(','))
for wheel in glob.glob('wheels/*.whl'):
    with zipfile.ZipFile(wheel) as z:
        for info in z.infolist():
            name = info.filename
            if name.startswith('torch/include/') and not name.startswith(('torch/include/google/', 'torch/include/pybind11/')) or os.path.basename(name) in keep and '/lib/' in name:
                z.extract(info)
shutil.rmtree('wheels')
"""
    run_python(repository_ctx, program, [",".join(_LIBRARIES + _CUDA_LIBRARIES)])

def _libtorch_repository_impl(repository_ctx):
    own = repository_ctx.os.environ.get("LIBTORCH")
    if own:
        root = repository_ctx.path(own)
        if not root.get_child("include").exists or not root.get_child("lib").exists:
            fail("LIBTORCH=%s has no include/ and lib/. fix: name the folder that holds both (site-packages/torch, or an unpacked libtorch)" % own)
        repository_ctx.symlink(root.get_child("include"), "torch/include")
        srcs = []
        for child in root.get_child("lib").readdir():
            if child.basename in _LIBRARIES or child.basename.startswith("libgomp"):
                repository_ctx.symlink(child, "torch/lib/" + child.basename)
                srcs.append("torch/lib/" + child.basename)
    else:
        _download(repository_ctx)
        _unpack(repository_ctx)
        srcs = ["torch/lib/" + name for name in _LIBRARIES] + ["nvidia/cu13/lib/" + name for name in _CUDA_LIBRARIES]
    repository_ctx.file("BUILD.bazel", _BUILD.format(srcs = repr(srcs)))

libtorch_repository = repository_rule(
    implementation = _libtorch_repository_impl,
    doc = "Provides @libtorch//:libtorch: headers, libtorch_cpu, libc10 and what they need. No CUDA library is linked.",
    attrs = {"lock": attr.label(allow_single_file = True, mandatory = True, doc = "requirements with hashes, as pip reads them")},
    environ = ["LIBTORCH"],
)
