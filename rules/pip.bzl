"""Wheels from PyPI, pinned by version and hash in a lock file, for repository rules."""

def find_python(repository_ctx):
    """Path of a python3 that has pip."""

    # The system's interpreter first: a shim of a version manager may need variables that are not here.
    if repository_ctx.path("/usr/bin/python3").exists:
        probe = repository_ctx.execute(["/usr/bin/python3", "-m", "pip", "--version"])
        if probe.return_code == 0:
            return "/usr/bin/python3"
    found = repository_ctx.which("python3")
    if not found:
        fail("%s: no python3 on this machine. fix: run ./bazelw once, it installs what is missing" % repository_ctx.name)
    return str(found)

def download_wheels(repository_ctx, what, fix = "", arguments = [], timeout = 300, quiet = True):
    """Downloads the wheels of `repository_ctx.attr.lock` into wheels/.

    Args:
      repository_ctx: of the rule.
      what: for the progress display: "LibTorch (545 MB)".
      fix: what else to do where the network does not have them.
      arguments: more of them for `pip download`.
      timeout: of one attempt, in seconds.
      quiet: False shows pip's own progress.
    """
    command = [
        find_python(repository_ctx),
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
    ] + arguments
    result = None
    for attempt in range(3):
        # pip checks the hashes: a broken download is an error here, never half a library.
        repository_ctx.report_progress("downloading %s, attempt %d of 3" % (what, attempt + 1))
        result = repository_ctx.execute(command, timeout = timeout, quiet = quiet)
        if result.return_code == 0:
            return
        repository_ctx.delete("wheels")
    fail("{name}: the wheels in {lock} could not be downloaded.\n  why: {why}\n  fix: check the network{fix}".format(
        name = repository_ctx.name,
        lock = repository_ctx.attr.lock,
        why = result.stderr,
        fix = ", or " + fix if fix else "",
    ))

def run_python(repository_ctx, program, arguments = []):
    """Runs a short program, as `python3 -c`; fails with what it said, returns what it printed."""
    result = repository_ctx.execute([find_python(repository_ctx), "-c", program] + arguments, timeout = 600)
    if result.return_code != 0:
        fail("%s: %s" % (repository_ctx.name, result.stderr))
    return result.stdout
