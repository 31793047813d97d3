#!/usr/bin/env bash
# A Slurm cluster on the hosts of netns.sh: slurmctld on the first, a slurmd on each. Needs root, and Debian's slurmctld,
# slurmd, slurm-client and munge; their own services are not started or touched.
#
#   slurm.sh up [N=3] | down | env
#   slurm.sh run COMMAND...             on the first host, as root: slurm.sh run sbatch job.sh
#   slurm.sh kill HOST | start HOST     slurmd on HOST is killed (its jobs' processes live on) | started again
#   slurm.sh ctl stop|start             slurmctld is ended | started again, with its state
#   slurm.sh lose HOST | heal HOST      the node dies with all that runs on it, and its link | it is back
#
# A node has 4 CPUs, 2000 MB and 4 made-up GPUs (CUDA_VISIBLE_DEVICES is set, no GPU is there). Partitions: `main`, the
# default, and `high`, which preempts it by requeueing; nodes count as down after 10 s without an answer.
# TB_DBD=1: mariadb and slurmdbd, so that sacct works. TB_CGROUP=1: cgroup v1, --mem is enforced; needs a kernel that has
# its controllers free to mount. TB_PREFIX, TB_NET, TB_STATE as for netns.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
prefix=${TB_PREFIX:-mr}
net=${TB_NET:-10.77.0}
net_state=${TB_STATE:-$TB_TMP/testbed-$prefix}
state=$net_state-slurm
export SLURM_CONF=$state/slurm.conf
export PATH=$PATH:/usr/sbin:/sbin

hosts() { cat "$net_state/hosts" 2>/dev/null || true; }
run() { "$here/netns.sh" exec "${prefix}1" env SLURM_CONF="$SLURM_CONF" "$@"; }

configure() {
  local host tracking=linuxproc
  [ -z "${TB_CGROUP:-}" ] || tracking=cgroup
  cat >"$SLURM_CONF" <<C
ClusterName=testbed
SlurmctldHost=${prefix}1($net.11)
AuthType=auth/munge
AuthInfo=socket=$state/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$state/state
SlurmdSpoolDir=$state/spool.%n
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.%n.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.%n.log
ProctrackType=proctrack/$tracking
TaskPlugin=task/${TB_CGROUP:+cgroup}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdTimeout=10
MessageTimeout=5
KillWait=3
ReturnToService=2
MpiDefault=none
SlurmdParameters=config_overrides
GresTypes=gpu
PropagateResourceLimits=NONE
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
C
  [ -n "${TB_CGROUP:-}" ] || sed -i 's,^TaskPlugin=.*,TaskPlugin=task/none,' "$SLURM_CONF"
  for host in $(hosts); do
    echo "NodeName=$host NodeAddr=$net.$((10 + ${host#"$prefix"})) CPUs=4 RealMemory=2000 Gres=gpu:h100:4 State=UNKNOWN"
  done >>"$SLURM_CONF"
  [ -z "${TB_DBD:-}" ] || cat >>"$SLURM_CONF" <<C
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=${prefix}1
AccountingStoragePass=$state/munge.socket
C
  echo "Name=gpu Type=h100 File=$state/dev/gpu[0-3]" >"$state/gres.conf"
  printf 'CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nConstrainSwapSpace=yes\n' >"$state/cgroup.conf"
}

database() {
  need mariadbd slurmdbd mariadb-install-db
  mkdir -p "$state/db"
  chown mysql "$state/db"
  mariadb-install-db --user=mysql --datadir="$state/db" --auth-root-authentication-method=normal \
    >"$state/db-install.log" 2>&1 || die "mariadb-install-db: $(tail -3 "$state/db-install.log")"
  "$here/netns.sh" exec "${prefix}1" mariadbd --user=mysql --datadir="$state/db" --socket="$state/db/s" \
    --skip-networking --pid-file="$state/db/pid" </dev/null >"$state/db.log" 2>&1 &
  until_ok 60 mariadb -S "$state/db/s" -e "create database if not exists slurm_acct_db"
  mariadb -S "$state/db/s" -e "grant all on slurm_acct_db.* to root@localhost"
  cat >"$state/slurmdbd.conf" <<C
AuthType=auth/munge
AuthInfo=socket=$state/munge.socket
DbdHost=${prefix}1
DbdAddr=$net.11
SlurmUser=root
LogFile=$state/slurmdbd.log
PidFile=$state/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageUser=root
StorageLoc=slurm_acct_db
C
  chmod 600 "$state/slurmdbd.conf"
  run env MYSQL_UNIX_PORT="$state/db/s" slurmdbd -D </dev/null >"$state/dbd.out" 2>&1 &
  echo $! >"$state/dbd.pid"
  disown -a
  until_ok 60 run sacctmgr -n show cluster
}

# `ip netns exec` gives a /sys without the cgroups: with TB_CGROUP they are mounted again, for that slurmd.
start() {
  "$here/netns.sh" exec "$1" env SLURM_CONF="$SLURM_CONF" CG="${TB_CGROUP:+freezer memory cpuset cpu cpuacct devices}" \
    sh -ec '
      if [ -n "$CG" ]; then
        mount -t tmpfs tmpfs /sys/fs/cgroup
        for c in $CG; do mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c; done
      fi
      exec slurmd -N "$1"' start "$1" </dev/null >/dev/null 2>&1 || die "slurmd on $1: $(tail -3 "$state/slurmd.$1.log")"
}
idle() { [ "$(run sinfo -h -N -p main -t idle -o %N | sort -u | wc -l)" = "$(hosts | wc -l)" ]; }
ctl_start() {
  run slurmctld </dev/null >/dev/null 2>&1 || die "slurmctld: $(tail -3 "$state/slurmctld.log")"
  until_ok 40 run scontrol ping
}

# What slurmd or its jobs have on a host: all in its namespace but slurmctld and who serves it.
job_processes() {
  local pid
  for pid in $(ip netns pids "$1"); do
    case $(cat "/proc/$pid/comm" 2>/dev/null) in slurmctld* | slurmdbd* | mariadbd* | slurmd) ;; *) echo "$pid" ;; esac
  done
}
lose() {
  local pid
  "$here/netns.sh" cut "$1"
  kill -9 "$(cat "$state/slurmd.$1.pid")" 2>/dev/null || true
  for pid in $(job_processes "$1"); do kill -9 "$pid" 2>/dev/null || true; done
}
heal() {
  "$here/netns.sh" heal "$1"
  start "$1"
  until_ok 120 idle
}

up() {
  local host i
  [ ! -e "$state/up" ] || return 0
  need slurmctld slurmd sbatch munged ps
  trap '[ $? = 0 ] || down' EXIT
  if [ ! -e "$net_state/hosts" ]; then
    "$here/netns.sh" up "${1:-3}"
    mkdir -p "$state"
    touch "$state/own_hosts"
  fi
  mkdir -p "$state/state" "$state/dev"
  for i in 0 1 2 3; do mknod -m 666 "$state/dev/gpu$i" c 1 3; done # copies of /dev/null: Slurm wants device files
  configure
  for host in $(hosts); do mkdir -p "$state/spool.$host"; done
  (umask 077 && head -c 128 /dev/urandom >"$state/munge.key")
  munged --key-file="$state/munge.key" --socket="$state/munge.socket" --pid-file="$state/munged.pid" \
    --log-file="$state/munged.log" --seed-file="$state/munge.seed" --force </dev/null 2>"$state/munge.err" ||
    die "munged: $(tail -3 "$state/munge.err")"
  export MUNGE_SOCKET=$state/munge.socket
  [ -z "${TB_DBD:-}" ] || database
  ctl_start
  for host in $(hosts); do start "$host"; done
  until_ok 60 idle
  touch "$state/up"
}

down() {
  local file host pid
  for file in "$state"/slurmd.*.pid; do end_file "$file" slurmd; done
  end_file "$state/slurmctld.pid" slurmctld
  end_file "$state/dbd.pid"
  end_file "$state/slurmdbd.pid" slurmdbd
  end_file "$state/db/pid" mariadbd
  end_file "$state/munged.pid" munged
  for host in $(hosts); do
    for pid in $(job_processes "$host"); do kill -9 "$pid" 2>/dev/null || true; done
    find /sys/fs/cgroup/*/"slurm_$host" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  [ ! -e "$state/own_hosts" ] || "$here/netns.sh" down
  rm -rf "$state"
}

command=${1:-}
shift || true
case $command in
  up) up "$@" ;;
  down) down ;;
  run) run "$@" ;;
  env)
    echo "SLURM_CONF=$SLURM_CONF"
    "$here/netns.sh" env
    ;;
  kill) kill -9 "$(cat "$state/slurmd.$1.pid")" ;;
  start) start "$1" ;;
  ctl) if [ "$1" = stop ]; then end_file "$state/slurmctld.pid" slurmctld; else ctl_start; fi ;;
  lose | heal) "$command" "$1" ;;
  *)
    sed -n '2,17p' "$0" >&2
    exit 2
    ;;
esac
