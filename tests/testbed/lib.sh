# Sourced by the beds beside it: what they share.

TB_TMP=${TMPDIR:-/tmp}

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# need PROGRAM...: each is there, or the bed cannot be made. (Tests ask first and are skipped.)
need() {
  local program
  for program; do
    command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || die "needs $program: install it first"
  done
}

# A zombie has ended: who started it may be slow to take note.
alive() {
  local stat
  stat=$(ps -o stat= -p "$1" 2>/dev/null) && [ "${stat#Z}" = "$stat" ]
}

# end PID [NAME]: SIGTERM, after 5 s SIGKILL; only if the process is (still) called NAME. Returns when it is gone.
end() {
  local pid=$1 i
  [ -n "$pid" ] && alive "$pid" || return 0
  if [ -n "${2:-}" ]; then
    case $(cat "/proc/$pid/comm" 2>/dev/null) in "$2"*) ;; *) return 0 ;; esac
  fi
  kill "$pid" 2>/dev/null || true
  kill -CONT "$pid" 2>/dev/null || true
  for i in $(seq 100); do
    alive "$pid" || return 0
    [ "$i" != 50 ] || kill -9 "$pid" 2>/dev/null || true
    sleep 0.1
  done
  echo "$(basename "$0"): process $pid does not end" >&2
}

# end_file FILE [NAME]: the same for the process whose id FILE holds; FILE goes.
end_file() {
  [ ! -s "$1" ] || end "$(cat "$1")" "${2:-}"
  rm -f "$1"
}

# until_ok N COMMAND...: tries up to N times, twice a second.
until_ok() {
  local tries=$1 _
  shift
  for _ in $(seq "$tries"); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.5
  done
  die "waited in vain: $*"
}

check() {
  if eval "$2"; then echo "ok $1"; else die "FAILED: $1"; fi
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
