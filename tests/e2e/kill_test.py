#!/usr/bin/env python3
"""Killed at any moment: nothing torn is visible, the next run goes on and ends with the same digests.

The moments come from a seed (argument --kills=N --seed=S); each prints what it did.
"""

import argparse
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from workspace import Workspace, kill_group


def processes_below(folder):
    """Processes whose working directory is below `folder`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink("/proc/%s/cwd" % pid).startswith(folder):
                found.append(int(pid))
        except OSError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    undisturbed = Workspace()
    disturbed = Workspace()
    try:
        begin = time.monotonic()
        undisturbed.run()
        duration = time.monotonic() - begin
        expected = undisturbed.keys()
        assert None not in expected.values(), expected
        for kill in range(arguments.kills):
            home = os.path.join(disturbed.root, "home%d" % kill)
            how = signal.SIGKILL if kill % 3 else signal.SIGINT
            tries = 0
            while True:  # the same home is killed until it survives its moment
                moment = generator.uniform(0, duration * 1.1) if tries < 4 else duration * 100
                process = disturbed.start("run", "--progress=plain", home=home)
                try:
                    process.communicate(timeout=moment)
                    break
                except Exception:
                    if how == signal.SIGKILL:
                        kill_group(process)
                    else:
                        process.send_signal(how)
                        process.communicate()
                        # Before the handler is there the signal itself ends it: a shell says 130 then, too.
                        assert process.returncode in (130, 0, -signal.SIGINT), "SIGINT: exit %d" % process.returncode
                    tries += 1
                    print("home %d: %s at %.2f s of %.1f s" % (kill, how.name, moment, duration), flush=True)
            assert process.returncode == 0, "home %d: the last run ended with %d" % (kill, process.returncode)
            actual = disturbed.keys(home=home)
            assert actual == expected, "home %d: keys differ: %s" % (kill, {k: (actual[k], expected[k]) for k in expected if actual[k] != expected[k]})
        deadline = time.monotonic() + 10
        while processes_below(disturbed.root) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = processes_below(disturbed.root)
        assert not left, "processes left behind: %s" % left
        print("%d homes, the digests of an undisturbed run in each" % arguments.kills)
    finally:
        undisturbed.remove()
        disturbed.remove()


if __name__ == "__main__":
    main()
