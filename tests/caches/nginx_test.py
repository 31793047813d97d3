#!/usr/bin/env python3
"""The real program and a real cache server (nginx): what one home made the other gets, whatever the server does.

Skipped where there is no nginx: the unit tests run against executor/cas/remote/lying_cache.py everywhere.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

RUNFILES = os.path.join(os.environ["TEST_SRCDIR"], "millrace")
MILLRACE = os.path.join(RUNFILES, "executor/cli/millrace")
BED = os.path.join(RUNFILES, "tests/testbed/httpcache.sh")
SECRET = "user:secret"

PIPELINE = """
name: "shared"
stage { name: "numbers" custom {
  command { argument: "sh" argument: "-c" argument: "echo numbers >> RAN; seq VERSION 300000 > out/out/numbers; mkdir out/out/sub; seq 10 > out/out/sub/few" }
  output { name: "out" } } }
stage { name: "sorted" custom {
  command { argument: "sh" argument: "-c" argument: "echo sorted >> RAN; sort in/numbers/numbers > out/out/sorted" }
  input { name: "numbers" from: "numbers" } output { name: "out" } } }
"""


class Bed:
    def __init__(self, root):
        self.root = root
        self.environment = dict(os.environ, TB_HTTP_STATE=os.path.join(root, "nginx"), TMPDIR=root)
        self.ran = os.path.join(root, "ran")
        self.up()

    def up(self):
        subprocess.run([BED, "up"], env=self.environment, check=True)
        lines = subprocess.run([BED, "env"], env=self.environment, check=True, capture_output=True, text=True).stdout
        values = dict(line.split("=", 1) for line in lines.split())
        self.url, self.folder = values["HTTP_CACHE_URL"], values["HTTP_CACHE_DIR"]

    def down(self):
        subprocess.run([BED, "down"], env=self.environment, check=True)

    def millrace(self, verb, home, *arguments, version=1, cache="auth", expect=0, environment=None):
        """Output on both streams of a run that shares the server's `cache`; "" : none."""
        pipeline = os.path.join(self.root, "shared.textproto")
        with open(pipeline, "w") as f:
            f.write(PIPELINE.replace("RAN", self.ran).replace("VERSION", str(version)))
        with open(os.path.join(self.root, "cluster.textproto"), "w") as f:
            f.write('cluster { name: "lab" local {} pool { name: "here" cpus: 2 } '
                    'cache { url: "%s/%s" credentials_env: "LAB_CACHE" } }' % (self.url, cache))
        command = [MILLRACE, verb, pipeline, "--home=" + os.path.join(self.root, home), *arguments]
        if cache:
            command.append("--cluster=" + os.path.join(self.root, "cluster.textproto"))
        if verb == "run":
            command += ["--progress=plain", "--out=" + os.path.join(self.root, "out-" + home)]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=120,
                              env={"PATH": os.environ["PATH"], "HOME": self.root, "LAB_CACHE": SECRET,
                                   **(environment or {})})
        text = done.stdout + done.stderr
        assert done.returncode == expect, "exit %d\n%s" % (done.returncode, text)
        assert "secret" not in text, text
        return text

    def take_ran(self):
        """Names of the stages that ran since the last call."""
        if not os.path.exists(self.ran):
            return []
        with open(self.ran) as f:
            names = f.read().split()
        os.unlink(self.ran)
        return names

    def digests(self, home, version=1):
        plan = json.loads(self.millrace("plan", home, "--format=json", version=version, cache=""))
        return {stage["name"]: stage["outputs"]["out"] for stage in plan["stages"]}


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def check_what_is_kept(bed):
    """Everything on the server is named by its content, and read back by digest."""
    names = os.listdir(os.path.join(bed.folder, "cas"))
    assert len(names) >= 5, names
    for name in names:
        assert hashlib.sha256(get("%s/cas/%s" % (bed.url, name))).hexdigest() == name, name
    assert len(os.listdir(os.path.join(bed.folder, "ac"))) == 2
    # The secret is nowhere but in requests.
    for folder, _, files in os.walk(bed.root):
        for file in files:
            path = os.path.join(folder, file)
            if os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
                with open(path, "rb") as f:
                    assert SECRET.encode() not in f.read(), path


def main():
    programs = [p for p in ("nginx", "openssl") if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin")]
    if programs:
        print("SKIPPED: no %s here (apt-get install nginx-light openssl)" % " and no ".join(programs))
        return
    root = tempfile.mkdtemp(prefix="nginx.", dir=os.environ.get("TEST_TMPDIR"))
    bed = Bed(root)
    try:
        bed.millrace("run", "a")
        assert bed.take_ran() == ["numbers", "sorted"]
        check_what_is_kept(bed)
        expected = bed.digests("a")

        plan = bed.millrace("plan", "b")
        assert "to fetch from %s/auth" % bed.url in plan, plan
        text = bed.millrace("run", "b")
        assert bed.take_ran() == [], text
        assert bed.digests("b") == expected
        with open(os.path.join(root, "out-b/shared/sorted/sorted")) as f:
            assert len(f.readlines()) == 300000
        # What lies between is fetched when one looks at it.
        listing = bed.millrace("show", "b", "numbers")
        assert "sub/few" in listing, listing
        bed.millrace("run", "c", environment={"LAB_CACHE": "t0ken"})
        assert bed.take_ran() == []

        wrong = bed.millrace("run", "d", environment={"LAB_CACHE": "user:wrong"})
        assert "401" in wrong and "user:wrong" not in wrong, wrong
        assert bed.take_ran() == ["numbers", "sorted"]

        for mode, note in (("down", "503"), ("ro", "403"), ("full", "507")):
            text = bed.millrace("run", "e-" + mode, cache=mode, version=2)
            assert text.count(note) == 1, text
            assert bed.take_ran() == ["numbers", "sorted"], mode
            assert bed.digests("e-" + mode, version=2) == bed.digests("e-down", version=2)

        bed.down()
        text = bed.millrace("run", "f", version=3)
        assert text.count("goes on without it") == 1, text
        assert bed.take_ran() == ["numbers", "sorted"]

        # What was not sent then is sent when the server is back.
        bed.up()
        bed.millrace("run", "f", version=3)
        assert bed.take_ran() == []
        bed.millrace("run", "g", version=3)
        assert bed.take_ran() == []

        # To a machine on no network, as one file.
        bed.millrace("export", "g", "last", os.path.join(root, "run.tar"), cache="")
        subprocess.run(["tar", "tf", os.path.join(root, "run.tar")], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([MILLRACE, "import", os.path.join(root, "run.tar"), "--home=" + os.path.join(root, "h")],
                       cwd=root, check=True, env={"PATH": os.environ["PATH"], "HOME": root})
        bed.millrace("run", "h", version=3, cache="")
        assert bed.take_ran() == []
    finally:
        bed.down()
    shutil.rmtree(root, ignore_errors=True)
    print("PASSED")


sys.exit(main())
