#!/usr/bin/env bash
# N hosts on one machine: network namespaces on a switch of their own, with faults. Needs root.
#
#   netns.sh up [N=3] | down | env | test
#   netns.sh exec HOST COMMAND...                 runs it there, with the host's own hostname; its exit status is returned
#   netns.sh slow HOST MS [LOSS%] [JITTER_MS]     delay and loss, each way
#   netns.sh rate HOST MBIT                       limits what the host sends
#   netns.sh cut HOST                             the cable is pulled: packets vanish in silence
#   netns.sh ifdown HOST                          the interface is down: the host's own sockets fail at once
#   netns.sh drop HOST [PORT]                     a firewall drops TCP (of one port)
#   netns.sh reject HOST [PORT]                   a firewall answers TCP with resets
#   netns.sh heal HOST                            undoes all of these
#
# Hosts are mr1..mrN (10.77.0.11...), each with eth0, a hostname and /etc/hosts of its own; no packet leaves the machine.
# Files, users and processes are the machine's. Where the kernel has no `tc netem`, wire.py carries delayed frames.
# TB_PREFIX (mr), TB_NET (10.77.0) and TB_STATE (${TMPDIR:-/tmp}/testbed-$TB_PREFIX): other ones make a second bed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
prefix=${TB_PREFIX:-mr}
net=${TB_NET:-10.77.0}
state=${TB_STATE:-$TB_TMP/testbed-$prefix}
switch=$prefix-sw

hosts() { cat "$state/hosts" 2>/dev/null || true; }
address() { echo "$net.$((10 + ${1#"$prefix"}))"; }
known() { grep -qx -- "${1:-}" "$state/hosts" 2>/dev/null || die "no host '${1:-}' (have: $(hosts | tr '\n' ' '))"; }

up() {
  local n=${1:-3} i j host
  if [ -e "$state/hosts" ]; then
    [ "$(hosts | wc -l)" = "$n" ] || die "already up with $(hosts | wc -l) hosts"
    return
  fi
  [ "$(id -u)" = 0 ] || die "needs root"
  need ip nft ethtool ps
  ! ip netns list | grep -qw "$switch" || die "another bed has the prefix $prefix: set TB_PREFIX and TB_NET"
  mkdir -p "$state"
  trap '[ $? = 0 ] || down' EXIT
  ip netns add "$switch"
  ip -n "$switch" link set lo up
  ip -n "$switch" link add br0 type bridge
  ip -n "$switch" link set br0 up
  for i in $(seq "$n"); do echo "$prefix$i" >>"$state/hosts"; done
  for host in $(hosts); do
    ip netns add "$host"
    mkdir -p "/etc/netns/$host"
    echo "$host" >"/etc/netns/$host/hostname"
    : >"/etc/netns/$host/resolv.conf"
    {
      echo "127.0.0.1 localhost"
      for j in $(hosts); do echo "$(address "$j") $j"; done
    } >"/etc/netns/$host/hosts"
    ip link add "p-$host" netns "$switch" type veth peer name eth0 netns "$host"
    ip -n "$switch" link set "p-$host" master br0 up
    ip -n "$host" link set lo up
    ip -n "$host" addr add "$(address "$host")/24" dev eth0
    ip -n "$host" link set eth0 up
  done
}

down() {
  local host pid
  for host in $(hosts); do
    unwire "$host" || true
    for pid in $(ip netns pids "$host" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
    ip netns del "$host" 2>/dev/null || true
    rm -rf "/etc/netns/$host"
  done
  ip netns del "$switch" 2>/dev/null || true
  rm -rf "$state"
}

in_host() {
  local host=$1
  shift
  ip netns exec "$host" unshare --uts sh -c 'hostname "$0"; exec "$@"' "$host" "$@"
}

# Puts the host's port back onto the switch.
unwire() {
  [ -f "$state/wire.$1" ] || return 0
  end_file "$state/wire.$1" python
  ip -n "$switch" link del "w-$1" 2>/dev/null || true
  ip -n "$switch" link set "p-$1" master br0
}

slow() {
  local host=$1 ms=$2 loss=${3:-0} jitter=${4:-0} other
  if ip netns exec "$host" tc qdisc replace dev eth0 root netem delay "${ms}ms" "${jitter}ms" loss "$loss%" 2>/dev/null; then
    ip netns exec "$switch" tc qdisc replace dev "p-$host" root netem delay "${ms}ms" "${jitter}ms" loss "$loss%"
    return
  fi
  unwire "$host"
  # Frames must be whole and have their checksums.
  for other in $(hosts); do ip netns exec "$other" ethtool -K eth0 tx off tso off gso off >/dev/null; done
  ip -n "$switch" link add "w-$host" type veth peer name "x-$host"
  ip -n "$switch" link set "p-$host" nomaster
  ip -n "$switch" link set "x-$host" master br0 up
  ip -n "$switch" link set "w-$host" up
  ip netns exec "$switch" python3 "$here/wire.py" "p-$host" "w-$host" "$ms" "$loss" "$jitter" \
    </dev/null >"$state/wire.$host.log" 2>&1 &
  echo $! >"$state/wire.$host"
  disown
  sleep 0.3
  kill -0 "$(cat "$state/wire.$host")" || die "wire.py: $(cat "$state/wire.$host.log")"
}

firewall() {
  local host=$1 act=$2 port=${3:-} match="meta l4proto tcp" resets=
  [ -z "$port" ] || match="tcp dport $port"
  # Or the resets themselves would be stopped.
  [ "$act" = drop ] || resets="tcp flags & rst == rst accept"
  ip netns exec "$host" nft -f - <<R
table inet fault { }
delete table inet fault
table inet fault {
  chain in {
    type filter hook input priority 0
    $resets
    $match $act
    ${port:+tcp sport $port $act}
  }
  chain out {
    type filter hook output priority 0
    $resets
    $match $act
    ${port:+tcp sport $port $act}
  }
}
R
}

cut() { ip -n "$switch" link set "p-$1" down; }
ifdown() { ip -n "$1" link set eth0 down; }
rate() { ip netns exec "$1" tc qdisc replace dev eth0 root tbf rate "$2mbit" burst 64kb latency 50ms; }
drop() { firewall "$1" drop "${2:-}"; }
reject() { firewall "$1" "reject with tcp reset" "${2:-}"; }

heal() {
  unwire "$1"
  ip netns exec "$1" nft delete table inet fault 2>/dev/null || true
  ip -n "$switch" link set "p-$1" up
  ip -n "$1" link set eth0 up
  ip -n "$1" addr replace "$(address "$1")/24" dev eth0
  ip netns exec "$1" tc qdisc del dev eth0 root 2>/dev/null || true
  ip netns exec "$switch" tc qdisc del dev "p-$1" root 2>/dev/null || true
}

# Exit status of a connection from host 1 to port 8000 of host 2: 0; 1 refused; 124 time-out.
connection() {
  local status=0
  in_host "${prefix}1" timeout 2 bash -c "exec 3<>/dev/tcp/${prefix}2/8000" 2>/dev/null || status=$?
  echo "$status"
}

selftest() {
  local fault
  up 3
  trap down EXIT
  check "hostname" '[ "$(in_host "${prefix}2" hostname)" = "${prefix}2" ]'
  in_host "${prefix}2" python3 -m http.server 8000 -d "$state" </dev/null >/dev/null 2>&1 &
  disown
  until_ok 20 in_host "${prefix}1" bash -c "exec 3<>/dev/tcp/${prefix}2/8000"
  for fault in cut ifdown drop; do
    "$fault" "${prefix}2"
    check "$fault: time-out" '[ "$(connection)" = 124 ]'
    heal "${prefix}2"
    until_ok 20 in_host "${prefix}1" bash -c "exec 3<>/dev/tcp/${prefix}2/8000"
  done
  reject "${prefix}2" 8000
  check "reject: refused at once" '[ "$(connection)" = 1 ]'
  heal "${prefix}2"
  check "healed" '[ "$(connection)" = 0 ]'
  echo "netns.sh: all checks passed"
}

command=${1:-}
shift || true
case $command in
  up | down) "$command" "$@" ;;
  test) selftest ;;
  env) echo "TB_HOSTS='$(hosts | tr '\n' ' ')'" && for host in $(hosts); do echo "TB_IP_$host=$(address "$host")"; done ;;
  exec) known "$1" && in_host "$@" ;;
  slow | rate | cut | ifdown | drop | reject | heal) known "$1" && "$command" "$@" ;;
  *) sed -n '2,16p' "$0" >&2 && exit 2 ;;
esac
