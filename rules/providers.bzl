"""What the pipeline rules tell each other."""

PipelineInfo = provider(
    doc = "A pipeline file with all that running it needs.",
    fields = {
        "src": "File: the pipeline textproto",
        "manifest": "File: the tool manifest (executor/graph/tool_manifest.h)",
        "launcher_runfiles": "runfiles: the millrace program, the manifest, tools, data and clusters",
    },
)

BundledDataInfo = provider(
    doc = "Data that a pipeline names with `bundled`.",
    fields = {
        "files": "list of File, as the stage sees them by base name",
        "lock": "File or None: path, size and sha256 a line; a difference is a warning, with --locked an error",
    },
)
