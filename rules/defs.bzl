"""What BUILD files of pipelines load.

    load("//rules:defs.bzl", "bundled_data", "pipeline", "pipeline_test")

    pipeline(
        name = "mine",
        src = "mine.textproto",
        tools = ["//my:tool"],             # what `custom { tool: "//my:tool" }` names
        data = ["//pipelines/corpora:tiny_en"],  # what `bundled: "tiny_en"` names
        clusters = ["clusters/lan.textproto"],
    )

`bazel build :mine` builds only if every profile passes the check; `bazel run :mine` runs it.
"""

load("//rules:providers.bzl", "BundledDataInfo", "PipelineInfo")
load("//rules:stages.bzl", "STAGE_PROGRAMS")

# ---- Names and paths (plain functions; rules/tests/defs_test.bzl tests them) ----

def runfiles_path(short_path, workspace_name):
    """A file's place below the runfiles root, from its short path."""
    if short_path.startswith("../"):
        return short_path[3:]
    return workspace_name + "/" + short_path

def tool_entry(executable, short_paths, workspace_name):
    """The manifest's entry of one tool: its executable and its files, in byte order, each once."""
    return {
        "executable": runfiles_path(executable, workspace_name),
        "files": sorted({runfiles_path(path, workspace_name): None for path in short_paths + [executable]}.keys()),
    }

def data_name(label_name, taken, fail = fail):
    """The name under which a data target is named with `bundled`: its label's name, once."""
    if label_name in taken:
        fail("data: two targets are named \"%s\" (%s is there already).\n  why: `bundled` names a target by this name\n  fix: rename one" % (label_name, taken[label_name]))
    return label_name

# ---- The manifest ----

def _canonical_label(label):
    # As people write it: "//pkg:name"; another repository's with its "@name".
    prefix = "@" + label.workspace_name if label.workspace_name else ""
    return "%s//%s:%s" % (prefix, label.package, label.name)

def _tool_entries(ctx):
    """Manifest entries of the stage programs, by kind, and of the custom tools, by label; and the runfiles of all."""
    tools = {kind: program for program, kind in ctx.attr.stage_programs.items()}
    tools.update({_canonical_label(tool.label): tool for tool in ctx.attr.tools})
    entries, runfiles = {}, ctx.runfiles()
    for name, tool in tools.items():
        info = tool[DefaultInfo]
        executable = info.files_to_run.executable
        if not executable:
            fail("%s is no executable target; `tools` takes what `bazel run` could start" % tool.label)
        files = [f.short_path for f in info.default_runfiles.files.to_list()]
        entries[name] = tool_entry(executable.short_path, files, ctx.workspace_name)
        runfiles = runfiles.merge(info.default_runfiles).merge(ctx.runfiles(files = [executable]))
    return entries, runfiles

def _data_entries(ctx):
    entries, taken, files = {}, {}, []
    for target in ctx.attr.data:
        name = data_name(target.label.name, taken)
        taken[name] = str(target.label)
        lock = None
        members = target[DefaultInfo].files.to_list()
        if BundledDataInfo in target:
            members, lock = target[BundledDataInfo].files, target[BundledDataInfo].lock
        entries[name] = {
            "label": _canonical_label(target.label),
            "files": [{"path": f.basename, "runfile": runfiles_path(f.short_path, ctx.workspace_name)} for f in members],
        }
        files += members
        if lock:
            entries[name]["lock"] = runfiles_path(lock.short_path, ctx.workspace_name)
            files.append(lock)
    return entries, files

def _write_manifest(ctx, output, tools, data):
    ctx.actions.write(output, json.encode_indent({"data": data, "tools": tools}, indent = " ") + "\n")

def _manifest_impl(ctx):
    entries, runfiles = _tool_entries(ctx)
    output = ctx.actions.declare_file(ctx.label.name + ".json")
    _write_manifest(ctx, output, entries, {})
    return [DefaultInfo(files = depset([output]), runfiles = ctx.runfiles(files = [output]).merge(runfiles))]

tool_manifest = rule(
    implementation = _manifest_impl,
    doc = "The manifest of Millrace's own stage programs, with the programs as runfiles: data of a plain `millrace`.",
    attrs = {
        "stage_programs": attr.label_keyed_string_dict(mandatory = True, cfg = "target", doc = "program -> stage kind"),
        "tools": attr.label_list(cfg = "target", doc = "further executables, named by label"),
    },
)

# ---- bundled_data ----

def _bundled_data_impl(ctx):
    return [
        DefaultInfo(files = depset(ctx.files.srcs)),
        BundledDataInfo(files = ctx.files.srcs, lock = ctx.file.lock),
    ]

bundled_data = rule(
    implementation = _bundled_data_impl,
    doc = "Files that `corpus { bundled }` and `tokenizer { bundled }` name, held to a lock file.",
    attrs = {
        "lock": attr.label(allow_single_file = True, doc = "path, size and sha256 a line; `millrace lock` writes it"),
        "srcs": attr.label_list(allow_files = True, mandatory = True, doc = "the files; their base names must differ"),
    },
)

# ---- pipeline ----

_COMMON_ATTRS = {
    "clusters": attr.label_list(allow_files = [".textproto"], doc = "cluster files that the model must fit"),
    "data": attr.label_list(allow_files = False, doc = "what `bundled` names"),
    "src": attr.label(allow_single_file = [".textproto"], mandatory = True, doc = "the pipeline file"),
    "tools": attr.label_list(cfg = "target", doc = "executables that custom stages name by label"),
    "_millrace": attr.label(default = "//executor/cli:millrace", executable = True, cfg = "target"),
}

def _pipeline_check_impl(ctx):
    # Names suffice to check: the stage programs, LibTorch among their dependencies, are not built.
    tools = {_canonical_label(tool.label): tool_entry("unbuilt", [], ctx.workspace_name) for tool in ctx.attr.tools}
    data, files = _data_entries(ctx)
    manifest = ctx.actions.declare_file(ctx.label.name + "_manifest.json")
    _write_manifest(ctx, manifest, tools, data)
    stamp = ctx.actions.declare_file(ctx.label.name + ".checked")
    arguments = ctx.actions.args()
    arguments.add(ctx.executable._millrace)
    arguments.add(stamp)
    arguments.add("check")
    arguments.add(ctx.file.src)
    arguments.add("--manifest=" + manifest.path)
    arguments.add("--runfiles=" + ctx.bin_dir.path)
    arguments.add_all(ctx.files.clusters, format_each = "--cluster=%s")
    ctx.actions.run_shell(
        outputs = [stamp],
        inputs = [ctx.file.src, manifest] + ctx.files.clusters,
        tools = [ctx.executable._millrace],
        command = 'millrace=$1 stamp=$2; shift 2; "$millrace" "$@" >"$stamp" || { cat "$stamp" >&2; exit 1; }',
        arguments = [arguments],
        mnemonic = "CheckPipeline",
        progress_message = "Checking %s, every profile" % ctx.file.src.short_path,
    )
    return [DefaultInfo(files = depset([stamp]))]

_pipeline_check = rule(
    implementation = _pipeline_check_impl,
    doc = "Fails to build unless every profile of the pipeline file passes the check.",
    attrs = _COMMON_ATTRS,
)

_LAUNCHER = """#!/usr/bin/env bash
# Starts {src} with the programs and data that its Bazel target names.
set -euo pipefail
self=$(readlink -f "${{BASH_SOURCE[0]}}")
if [[ -n ${{RUNFILES_DIR:-}} ]]; then root=$RUNFILES_DIR
elif [[ -n ${{TEST_SRCDIR:-}} ]]; then root=$TEST_SRCDIR
elif [[ -d ${{BASH_SOURCE[0]}}.runfiles ]]; then root=${{BASH_SOURCE[0]}}.runfiles
else root=$self.runfiles; fi
root=$(cd "$root" && pwd)
file=$root/{workspace}/{src}
# The file in the source tree, where there is one: messages name it, --update rewrites it.
[[ -n ${{BUILD_WORKSPACE_DIRECTORY:-}} && -f $BUILD_WORKSPACE_DIRECTORY/{src} ]] && file=$BUILD_WORKSPACE_DIRECTORY/{src}
exec "$root/{millrace}" --pipeline="$file" --manifest="$root/{manifest}" --runfiles="$root" {arguments} "$@"
"""

def _launcher(ctx, info, workspace, arguments):
    launcher = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        launcher,
        _LAUNCHER.format(
            arguments = arguments,
            manifest = runfiles_path(info.manifest.short_path, workspace),
            millrace = runfiles_path(ctx.executable._millrace.short_path, workspace),
            src = info.src.short_path,
            workspace = workspace,
        ),
        is_executable = True,
    )
    return launcher

def _pipeline_impl(ctx):
    tools, runfiles = _tool_entries(ctx)
    data, files = _data_entries(ctx)
    manifest = ctx.actions.declare_file(ctx.label.name + "_manifest.json")
    _write_manifest(ctx, manifest, tools, data)
    runfiles = runfiles.merge(ctx.runfiles(files = [ctx.file.src, manifest] + files + ctx.files.clusters + ctx.files.check))
    runfiles = runfiles.merge(ctx.attr._millrace[DefaultInfo].default_runfiles).merge(ctx.runfiles(files = [ctx.executable._millrace]))
    info = PipelineInfo(src = ctx.file.src, manifest = manifest, launcher_runfiles = runfiles)
    launcher = _launcher(ctx, info, ctx.workspace_name, "")
    return [DefaultInfo(executable = launcher, files = depset([launcher] + ctx.files.check), runfiles = runfiles), info]

_pipeline = rule(
    implementation = _pipeline_impl,
    doc = "A pipeline that `bazel run` runs.",
    executable = True,
    attrs = dict(
        _COMMON_ATTRS,
        check = attr.label(mandatory = True, doc = "the _pipeline_check of the same file"),
        stage_programs = attr.label_keyed_string_dict(cfg = "target", doc = "program -> stage kind"),
    ),
)

def pipeline(name, src, tools = [], data = [], clusters = [], kinds = None, visibility = None, tags = []):
    """A pipeline file as a target: builds only if it checks, `bazel run` runs it.

    Args:
      name: NAME runs; NAME_check checks alone, without the stage programs (and so without LibTorch).
      src: the pipeline textproto.
      tools: executables that `custom { tool: "//label" }` names.
      data: targets that `bundled: "name"` names (the label's name).
      clusters: cluster files that every profile's model must fit.
      kinds: stage kinds whose programs are brought along; absent: all. [] for a pipeline of custom stages.
      visibility: as usual.
      tags: as usual.
    """
    for kind in kinds or []:
        if kind not in STAGE_PROGRAMS:
            fail("pipeline %s: no stage kind is named \"%s\"; there are: %s" % (name, kind, ", ".join(sorted(STAGE_PROGRAMS))))
    _pipeline_check(
        name = name + "_check",
        src = src,
        tools = tools,
        data = data,
        clusters = clusters,
        visibility = visibility,
        tags = tags,
    )
    _pipeline(
        name = name,
        src = src,
        tools = tools,
        data = data,
        clusters = clusters,
        check = name + "_check",
        stage_programs = {program: kind for kind, program in STAGE_PROGRAMS.items() if kinds == None or kind in kinds},
        visibility = visibility,
        tags = tags,
    )

# ---- pipeline_test ----

def _pipeline_test_impl(ctx):
    info = ctx.attr.pipeline[PipelineInfo]
    arguments = 'expect --progress=plain --home="${TEST_TMPDIR:-${TMPDIR:-/tmp}}/home" --out="${TEST_TMPDIR:-${TMPDIR:-/tmp}}/out"'
    if ctx.attr.profile:
        arguments += " --profile=" + ctx.attr.profile
    launcher = _launcher(ctx, info, ctx.workspace_name, arguments)
    return [DefaultInfo(executable = launcher, runfiles = info.launcher_runfiles)]

pipeline_test = rule(
    implementation = _pipeline_test_impl,
    doc = "Runs a profile in an empty home and holds it to its `expect` lines. `bazel run TARGET -- --update` rewrites them.",
    test = True,
    attrs = {
        "pipeline": attr.label(mandatory = True, providers = [PipelineInfo], doc = "a pipeline target"),
        "profile": attr.string(doc = "absent: the file's default profile"),
        "_millrace": attr.label(default = "//executor/cli:millrace", executable = True, cfg = "target"),
    },
)
