#!/usr/bin/python3 -SE
"""Slurm's commands as far as executor/backends/slurm.h uses them, with jobs as processes of this machine.

Called by the name of a command (sbatch, squeue, sacct, scontrol, scancel, srun) as a link in a folder; what it knows lies in
"state" beside it. Files there make trouble:
  away       the controller does not answer            busy        it limits the rate of requests
  hold       nothing leaves the queue                  refuse      sbatch is refused
  lost       the next sbatch works, its answer is lost  max_submit  a number: more jobs in the queue are refused
  accounting sacct works                               instant     stages are not run: they succeed at once
`admin WORD JOB`: preempt, nodefail, oom, requeue, timelimit, forget.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
STATE = os.path.join(HERE, "state")
ACTIVE = ("PENDING", "RUNNING", "COMPLETING")


def flag(name):
    return os.path.exists(os.path.join(STATE, name))


class Jobs:
    """All that is known, under a lock."""

    def __enter__(self):
        self.lock = open(os.path.join(STATE, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.path = os.path.join(STATE, "jobs.json")
        try:
            with open(self.path) as f:
                self.data = json.load(f)
        except FileNotFoundError:
            self.data = {"next": 17, "tasks": {}}
        return self.data

    def __exit__(self, *unused):
        with open(self.path + ".new", "w") as f:
            json.dump(self.data, f)
        os.rename(self.path + ".new", self.path)
        self.lock.close()


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def detach():
    """True in a process of its own."""
    if os.fork() > 0:
        return False
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, 1024)  # the lock, too
    return True


def sbatch(arguments):
    if flag("refuse"):
        fail("sbatch: error: invalid partition specified: h800\n"
             "sbatch: error: Batch job submission failed: Invalid partition name specified")
    script = open(arguments[-1]).read()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, re.M))
    array = re.match(r"0-(\d+)", options.get("array", ""))
    indices = list(range(int(array[1]) + 1)) if array else [None]
    with Jobs() as jobs:
        if flag("max_submit"):
            queued = sum(t["state"] in ACTIVE for t in jobs["tasks"].values())
            if queued + len(indices) > int(open(os.path.join(STATE, "max_submit")).read()):
                fail("sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
                     "accounting/QOS policy (job submit limit, user's size and/or time limits)")
        job = jobs["next"]
        jobs["next"] += 1
        for index in indices:
            key = "%d" % job if index is None else "%d_%d" % (job, index)
            jobs["tasks"][key] = {"job": job, "index": index, "state": "PENDING", "name": options["job-name"],
                                  "reason": "Priority", "node": "", "pid": 0, "restarts": 0,
                                  "script": arguments[-1], "chdir": options["chdir"].strip('"')}
    with open(os.path.join(STATE, "sizes"), "a") as f:
        f.write("%d\n" % len(indices))
    if detach():
        if flag("instant"):
            run_instantly(job, indices, options["chdir"].strip('"'))
        else:
            for index in indices:
                if os.fork() == 0:
                    run_task("%d" % job if index is None else "%d_%d" % (job, index))
                    os._exit(0)
        os._exit(0)
    if flag("lost"):
        os.unlink(os.path.join(STATE, "lost"))
        fail("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    print(job)


def run_instantly(job, indices, batch):
    time.sleep(0.05)
    specs = open(os.path.join(batch, "list")).read().split("\n")
    for position, index in enumerate(indices):
        folder = os.path.dirname(specs[position])
        with open(os.path.join(folder, "slurm.result.new"), "w") as f:
            f.write("job %s\nnode n1\nseconds 0.01\nfirst_failed -1\nrank 0 0 1000000 0.01 0\nend\n" %
                    (job if index is None else "%d_%d" % (job, index)))
        os.rename(os.path.join(folder, "slurm.result.new"), os.path.join(folder, "slurm.result"))
    with Jobs() as jobs:
        for key in [k for k, t in jobs["tasks"].items() if t["job"] == job]:
            del jobs["tasks"][key]


def run_task(key):
    while True:
        with Jobs() as jobs:
            task = jobs["tasks"].get(key)
            if task is None or task["state"] != "PENDING":
                return
            if not flag("hold"):
                task["state"], task["reason"], task["node"] = "RUNNING", "None", "n1"
                environment = {"PATH": "%s:/usr/bin:/bin" % HERE, "SLURMD_NODENAME": "localhost",
                               "SLURM_JOB_ID": str(task["job"]), "SECRET": "of the job"}
                if task["restarts"]:
                    environment["SLURM_RESTART_COUNT"] = str(task["restarts"])
                if task["index"] is not None:
                    environment["SLURM_ARRAY_JOB_ID"] = str(task["job"])
                    environment["SLURM_ARRAY_TASK_ID"] = str(task["index"])
                if flag("gpus"):
                    environment["CUDA_VISIBLE_DEVICES"] = "0,1"
                out = open(os.path.join(task["chdir"], "job.out"), "a")
                process = subprocess.Popen(["/bin/sh", task["script"]], cwd=task["chdir"], env=environment, stdout=out,
                                           stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
                task["pid"] = process.pid
                break
        time.sleep(0.02)
    status = process.wait()
    with Jobs() as jobs:
        task = jobs["tasks"].get(key)
        if task is not None and task["state"] == "RUNNING" and task["pid"] == process.pid:
            task["state"] = task.pop("ends", "COMPLETED" if status == 0 else "FAILED")


def descendants(pid):
    found = [pid]
    for process in found:
        try:
            for thread in os.listdir("/proc/%d/task" % process):
                found += map(int, open("/proc/%d/task/%s/children" % (process, thread)).read().split())
        except OSError:
            pass
    return found


def kill_all(pid):
    for process in descendants(pid):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass


def end(task, state):
    """As slurmd ends a job: SIGTERM, a while, SIGKILL."""
    pid, running = task["pid"], task["state"] == "RUNNING"
    task["state"] = state
    if running and pid and detach():
        for process in descendants(pid):
            try:
                os.kill(process, signal.SIGTERM)
            except ProcessLookupError:
                pass
        for _ in range(50):
            if not os.path.exists("/proc/%d" % pid):
                break
            time.sleep(0.02)
        kill_all(pid)
        os._exit(0)


def line(key, task):
    return "%d|%s|%s|%s|%s|%s" % (task["job"], "N/A" if task["index"] is None else task["index"], task["state"],
                                  task["node"], task["name"], task["reason"])


def squeue(arguments):
    everything = "--states=all" in arguments
    names = [a[7:] for a in arguments if a.startswith("--name=")]
    with Jobs() as jobs:
        for key, task in jobs["tasks"].items():
            if task.get("forgotten") or (names and task["name"] not in names):
                continue
            if everything or task["state"] in ACTIVE:
                print(line(key, task))


def sacct(arguments):
    if not flag("accounting"):
        fail("Slurm accounting storage is disabled")
    wanted = [a[7:].split(",") for a in arguments if a.startswith("--jobs=")][0]
    with Jobs() as jobs:
        for key, task in jobs["tasks"].items():
            if str(task["job"]) in wanted:
                state = task["state"] + (" by 1000" if task["state"] == "CANCELLED" else "")
                print("%s|%s|%s" % (key, state, task["node"] or "None assigned"))


def scontrol(unused_arguments):
    print("AccountingStorageType   = accounting_storage/%s" % ("slurmdbd" if flag("accounting") else "none"))
    print("MaxArraySize            = 1001\nSLURM_VERSION           = 22.05.8")


def scancel(arguments):
    states = [a[8:] for a in arguments if a.startswith("--state=")]
    signals = [getattr(signal, "SIG" + a[9:]) for a in arguments if a.startswith("--signal=")]
    with Jobs() as jobs:
        for key in (a for a in arguments if not a.startswith("-")):
            task = jobs["tasks"].get(key)
            if task is None or task["state"] not in ACTIVE or (states and task["state"] not in states):
                continue
            if signals:
                os.kill(task["pid"], signals[0])
            else:
                end(task, "CANCELLED")


def admin(arguments):
    word, job = arguments
    with Jobs() as jobs:
        for key, task in jobs["tasks"].items():
            if job not in (key, str(task["job"])):
                continue
            if word == "preempt":
                end(task, "PREEMPTED")
            elif word == "nodefail":
                pid, task["state"] = task["pid"], "NODE_FAIL"
                kill_all(pid)
            elif word == "oom":
                pid, task["ends"] = task["pid"], "OUT_OF_MEMORY"
                kill_all(descendants(pid)[-1])
            elif word == "requeue":
                end(task, "PENDING")
                task["reason"], task["restarts"] = "BeginTime", task["restarts"] + 1
                if detach():
                    time.sleep(3)
                    run_task(key)
                    os._exit(0)
            elif word == "timelimit":
                os.kill(task["pid"], signal.SIGTERM)
            elif word == "forget":
                task["forgotten"] = True


def srun(arguments):
    count = int([a[9:] for a in arguments if a.startswith("--ntasks=")][0])
    per_node = int([a[18:] for a in arguments if a.startswith("--ntasks-per-node=")][0])
    command = arguments[next(i for i, a in enumerate(arguments) if not a.startswith("-")):]
    processes = []
    for rank in range(count):
        environment = dict(os.environ, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank % per_node),
                           SLURM_NODEID=str(rank // per_node), SLURM_STEP_TASKS_PER_NODE="%d(x%d)" %
                           (per_node, (count + per_node - 1) // per_node))
        processes.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE))

    def broadcast():
        while True:
            data = os.read(0, 4096)
            for process in processes:
                try:
                    os.write(process.stdin.fileno(), data) if data else process.stdin.close()
                except OSError:
                    pass
            if not data:
                return

    def pass_on(stream):
        for text in iter(stream.readline, b""):
            os.write(1, text)

    threading.Thread(target=broadcast, daemon=True).start()
    readers = [threading.Thread(target=pass_on, args=(p.stdout,)) for p in processes]
    for reader in readers:
        reader.start()
    for process, reader in zip(processes, readers):
        process.wait()
        reader.join()
    os._exit(max(p.returncode for p in processes))


def main():
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    os.makedirs(STATE, exist_ok=True)
    if name not in ("srun", "admin"):
        if flag("away"):
            fail("%s: error: Unable to contact slurm controller (connect failure)" % name)
        if flag("busy"):
            fail("%s: error: slurm_load_jobs error: RPC rate limit exceeded by uid 1000" % name)
    {"sbatch": sbatch, "squeue": squeue, "sacct": sacct, "scontrol": scontrol, "scancel": scancel, "srun": srun,
     "admin": admin}[name](arguments)


main()
