#!/usr/bin/env bash
# N OpenSSH servers on 127.0.0.2, 127.0.0.3..., one port, the caller's own user: needs no privilege.
#
#   sshd_local.sh up [N=3] | down | env
#   sshd_local.sh stop|start HOST     connections are refused, and accepted again
#   sshd_local.sh freeze|thaw HOST    the server and its sessions hang (SIGSTOP), and go on
#   sshd_local.sh rekey HOST          a new host key, which clients must refuse; `known`: they are told of it
#   sshd_local.sh drop HOST           ends the sessions, not the server
#
# `ssh -F $TB_SSH_CONFIG h2 COMMAND` reaches hosts h1..hN: generated keys, strict known_hosts, batch mode. They have one
# file system and one hostname; for their own names, homes and networks there is sshd.sh.
# State: TB_SSHD_STATE (${TMPDIR:-/tmp}/testbed-sshd). Port: TB_SSHD_PORT (2222).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
state=${TB_SSHD_STATE:-$TB_TMP/testbed-sshd}
port=${TB_SSHD_PORT:-2222}

hosts() { cat "$state/hosts" 2>/dev/null || true; }

known() {
  local host
  for host in $(hosts); do
    echo "$host $(cut -d' ' -f1,2 "$state/$host/key.pub")"
  done >"$state/known_hosts"
}

make_key() {
  rm -f "$1" "$1.pub"
  ssh-keygen -q -t ed25519 -N '' -C testbed -f "$1"
}

start() {
  local host=$1 folder=$state/$1 _
  cat >"$folder/conf" <<C
Port $port
ListenAddress 127.0.0.$((1 + ${host#h}))
HostKey $folder/key
PidFile $folder/pid
AuthorizedKeysFile $state/authorized_keys
AllowUsers $(id -un)
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PrintMotd no
C
  rm -f "$folder/pid"
  # Its children, agents among them, must not keep a caller's pipes open.
  /usr/sbin/sshd -f "$folder/conf" -E "$folder/log" </dev/null >/dev/null 2>&1
  for _ in $(seq 100); do
    [ ! -s "$folder/pid" ] || return 0
    sleep 0.1
  done
  die "sshd on $host: $(tail -3 "$folder/log")"
}

# The server and its sessions; what they have let go is not theirs.
tree() {
  local pid
  echo "$1"
  for pid in $(ps -o pid= --ppid "$1" 2>/dev/null); do tree "$pid"; done
}

signal() {
  local pid
  for pid in $(tree "$(cat "$state/$2/pid")"); do kill "-$1" "$pid" 2>/dev/null || true; done
}

# Kills, frozen or not: a server that ends in order lets its sessions live.
drop() {
  local pid server
  server=$(cat "$state/$1/pid")
  for pid in $(tree "$server"); do
    [ "$pid" = "$server" ] || kill -9 "$pid" 2>/dev/null || true
  done
}

stop() {
  local pid all
  [ -s "$state/$1/pid" ] || return 0
  all=$(tree "$(cat "$state/$1/pid")")
  for pid in $all; do kill -9 "$pid" 2>/dev/null || true; done
  for pid in $all; do end "$pid"; done
  rm -f "$state/$1/pid"
}

up() {
  local host
  [ ! -e "$state/up" ] || return 0
  need sshd ssh ssh-keygen ps
  trap '[ $? = 0 ] || down' EXIT
  [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
  mkdir -p "$state"
  chmod 700 "$state"
  make_key "$state/id"
  cp "$state/id.pub" "$state/authorized_keys"
  : >"$state/config"
  : >"$state/hosts"
  for host in $(seq -f 'h%.0f' "${1:-3}"); do
    echo "$host" >>"$state/hosts"
    mkdir -p "$state/$host"
    make_key "$state/$host/key"
    cat >>"$state/config" <<C
Host $host
  HostName 127.0.0.$((1 + ${host#h}))
  Port $port
  HostKeyAlias $host
C
  done
  cat >>"$state/config" <<C
Host *
  User $(id -un)
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
  local host
  for host in $(hosts); do stop "$host"; done
  rm -rf "$state"
}

command=${1:-}
shift || true
case $command in
  up | down | known) "$command" "$@" ;;
  env) echo "TB_SSH_CONFIG=$state/config" && echo "TB_HOSTS='$(hosts | tr '\n' ' ')'" ;;
  start | stop | drop) "$command" "$1" ;;
  freeze) signal STOP "$1" ;;
  thaw) signal CONT "$1" ;;
  rekey) stop "$1" && make_key "$state/$1/key" && start "$1" ;;
  *) sed -n '2,13p' "$0" >&2 && exit 2 ;;
esac
