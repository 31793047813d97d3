#!/usr/bin/env bash
# An OpenSSH server on every host of netns.sh, for an ordinary user who has a home of its own on each. Needs root.
#
#   sshd.sh up [N=3] | down | env
#   sshd.sh stop|start HOST     connections are refused, and accepted again
#   sshd.sh freeze|thaw HOST    the server and all of the user's processes hang (SIGSTOP), and go on
#   sshd.sh kill HOST           the node dies: the server and all of the user's processes are gone at once
#   sshd.sh rekey HOST          a new host key, which clients must refuse; `known`: they are told of it
#
# `ssh -F $TB_SSH_CONFIG mr2 COMMAND` works from inside any host (`netns.sh exec mr1 ...`): generated keys, strict
# known_hosts, batch mode. Homes are bind mounts that only the host's own sshd sees (TB_SHARED_HOME=1: one home for all);
# the rest of the disk is the machine's. `down` removes the user, the homes and, if `up` made them, the hosts.
# TB_PREFIX, TB_NET, TB_STATE as for netns.sh; TB_USER (tbuser).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
prefix=${TB_PREFIX:-mr}
net=${TB_NET:-10.77.0}
net_state=${TB_STATE:-$TB_TMP/testbed-$prefix}
state=$net_state-ssh
user=${TB_USER:-tbuser}

hosts() { cat "$net_state/hosts" 2>/dev/null || true; }
address() { echo "$net.$((10 + ${1#"$prefix"}))"; }

known() {
  local host
  for host in $(hosts); do
    echo "$host $(command cut -d' ' -f1,2 "$state/$host/key.pub")"
  done >"$state/known_hosts"
}

start() {
  local host=$1 folder=$state/$1 mount= _
  cat >"$folder/sshd_config" <<C
Port 22
ListenAddress $(address "$host")
HostKey $folder/key
PidFile $folder/pid
AuthorizedKeysFile $state/authorized_keys
AllowUsers $user
PasswordAuthentication no
UsePAM no
StrictModes no
PrintMotd no
C
  [ -n "${TB_SHARED_HOME:-}" ] || mount="mount --bind $folder/home /home/$user && "
  "$here/netns.sh" exec "$host" unshare --mount \
    sh -c "${mount}exec /usr/sbin/sshd -f $folder/sshd_config -E $folder/log" </dev/null >/dev/null 2>&1
  for _ in $(seq 100); do
    [ ! -s "$folder/pid" ] || return 0
    sleep 0.1
  done
  die "sshd on $host: $(tail -3 "$folder/log")"
}

stop() {
  local pid
  pid=$(cat "$state/$1/pid" 2>/dev/null) || return 0
  end "$pid" sshd
  rm -f "$state/$1/pid"
}

users_processes() {
  local pid
  for pid in $(ip netns pids "$1"); do
    [ "$(stat -c %U "/proc/$pid" 2>/dev/null)" != "$user" ] || echo "$pid"
  done
}

signal() {
  local pid
  for pid in $(users_processes "$2") $(cat "$state/$2/pid" 2>/dev/null); do kill "-$1" "$pid" 2>/dev/null || true; done
}

up() {
  local host
  [ ! -e "$state/up" ] || return 0
  need sshd ssh ssh-keygen
  mkdir -p "$state" /run/sshd
  trap '[ $? = 0 ] || down' EXIT
  if [ ! -e "$net_state/hosts" ]; then
    "$here/netns.sh" up "${1:-3}"
    touch "$state/own_hosts"
  fi
  if ! id "$user" >/dev/null 2>&1; then
    useradd -M -d "/home/$user" -s /bin/bash -p '*' "$user"
    touch "$state/own_user"
  fi
  mkdir -p "/home/$user"
  chown "$user" "/home/$user"
  ssh-keygen -q -t ed25519 -N '' -C testbed -f "$state/id"
  cp "$state/id.pub" "$state/authorized_keys"
  chmod 755 "$state"
  chmod 644 "$state/authorized_keys"
  : >"$state/config"
  for host in $(hosts); do
    mkdir -p "$state/$host/home"
    chown "$user" "$state/$host/home"
    ssh-keygen -q -t ed25519 -N '' -C "$host" -f "$state/$host/key"
    cat >>"$state/config" <<C
Host $host
  HostName $(address "$host")
  HostKeyAlias $host
C
  done
  cat >>"$state/config" <<C
Host *
  User $user
  IdentityFile $state/id
  IdentitiesOnly yes
  UserKnownHostsFile $state/known_hosts
  GlobalKnownHostsFile /dev/null
  BatchMode yes
C
  known
  for host in $(hosts); do start "$host"; done
  touch "$state/up"
}

down() {
  local host pid
  for host in $(hosts); do
    stop "$host"
    for pid in $(users_processes "$host"); do kill -9 "$pid" 2>/dev/null || true; done
  done
  if [ -e "$state/own_user" ]; then
    userdel "$user" 2>/dev/null || true
    rm -rf "/home/${user:?}"
  fi
  [ ! -e "$state/own_hosts" ] || "$here/netns.sh" down
  rm -rf "$state"
}

command=${1:-}
shift || true
case $command in
  up | down | known) "$command" "$@" ;;
  env) echo "TB_SSH_CONFIG=$state/config" && echo "TB_USER=$user" && "$here/netns.sh" env ;;
  start | stop) "$command" "$1" ;;
  freeze) signal STOP "$1" ;;
  thaw) signal CONT "$1" ;;
  kill) signal KILL "$1" && rm -f "$state/$1/pid" ;;
  rekey)
    stop "$1"
    rm -f "$state/$1/key" "$state/$1/key.pub"
    ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$state/$1/key"
    start "$1"
    ;;
  *) sed -n '2,13p' "$0" >&2 && exit 2 ;;
esac
