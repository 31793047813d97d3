#!/usr/bin/env bash
# A shared cache: nginx with DAV (GET, HEAD, PUT and DELETE of /ac/KEY and /cas/HASH) on loopback.
# usage: httpcache.sh up | down | env | test
#   State: TB_HTTP_STATE (default $TMPDIR/testbed-http), which holds store/ (files as they are kept) and access.log (a line
#   a request). `env` prints HTTP_CACHE_URL=http://127.0.0.1:PORT (TB_HTTP_PORT; default a free one) and HTTP_CACHE_DIR.
#   Also: /auth/... the same store for user:secret or the bearer token t0ken; /ro/... reads only (PUT: 403); /full/... PUT answers 507;
#   /down/... 503; /slow/... at 64 kB/s. nginx checks no hashes: what is PUT under /cas/HASH is believed.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/lib.sh"
S=${TB_HTTP_STATE:-$TB_TMP/testbed-http}

up() {
  [ -s "$S/pid" ] && alive "$(cat "$S/pid")" && return
  need nginx openssl
  rm -rf "$S"
  mkdir -p "$S/store" "$S/tmp"
  local port=${TB_HTTP_PORT:-$(free_port)}
  echo "$port" >"$S/port"
  echo "user:$(openssl passwd -apr1 secret)" >"$S/passwd"
  cat >"$S/conf" <<CONF
pid $S/pid;
error_log $S/error.log;
worker_processes 2;
$([ "$(id -u)" != 0 ] || echo "user root;")
events { worker_connections 512; }
http {
  access_log $S/access.log;
  client_max_body_size 0;
  sendfile on;
  client_body_temp_path $S/tmp/b; proxy_temp_path $S/tmp/p; fastcgi_temp_path $S/tmp/f; uwsgi_temp_path $S/tmp/u; scgi_temp_path $S/tmp/s;
  map \$http_authorization \$realm { default cache; "Bearer t0ken" off; }
  server {
    listen 127.0.0.1:$port;
    root $S/store;
    location / { dav_methods PUT DELETE; create_full_put_path on; }
    location /auth/ { alias $S/store/; auth_basic \$realm; auth_basic_user_file $S/passwd; dav_methods PUT DELETE; create_full_put_path on; }
    location /slow/ { alias $S/store/; limit_rate 64k; dav_methods PUT; create_full_put_path on; }
    location /ro/ { alias $S/store/; limit_except GET HEAD { deny all; } }
    location /full/ { alias $S/store/; if (\$request_method = PUT) { return 507; } }
    location /down/ { return 503; }
  }
}
CONF
  PATH=$PATH:/usr/sbin nginx -c "$S/conf" -p "$S" -e "$S/error.log" || die "$(tail -3 "$S/error.log")"
  until_ok 20 test -s "$S/pid"
}

down() {
  end_file "$S/pid" nginx
  rm -rf "$S"
}

selftest() {
  need curl
  trap down EXIT
  up
  local u=http://127.0.0.1:$(cat "$S/port")
  code() { curl -s -o "$S/out" -w '%{http_code}' "$@"; }
  echo hello >"$S/in"
  check "404, PUT 201, GET the same bytes" \
    '[ "$(code "$u/cas/x")" = 404 ] && [ "$(code -T "$S/in" "$u/cas/x")" = 201 ] && [ "$(code "$u/cas/x")" = 200 ] && cmp -s "$S/in" "$S/out"'
  check "PUT again 204, DELETE 204" \
    '[ "$(code -T "$S/in" "$u/cas/x")" = 204 ] && [ "$(code -X DELETE "$u/cas/x")" = 204 ]'
  check "authentication: 401, 201, by token 200" \
    '[ "$(code -T "$S/in" "$u/auth/cas/y")" = 401 ] && [ "$(code -u user:secret -T "$S/in" "$u/auth/cas/y")" = 201 ] &&
     [ "$(code -H "Authorization: Bearer t0ken" "$u/auth/cas/y")" = 200 ]'
  check "read-only 403, full 507, down 503" \
    '[ "$(code -T "$S/in" "$u/ro/cas/y")" = 403 ] && [ "$(code "$u/ro/cas/y")" = 200 ] &&
     [ "$(code -T "$S/in" "$u/full/cas/y")" = 507 ] && [ "$(code "$u/down/cas/y")" = 503 ]'
}

case ${1:-} in
  up) up ;;
  down) down ;;
  env)
    echo "HTTP_CACHE_URL=http://127.0.0.1:$(cat "$S/port")"
    echo "HTTP_CACHE_DIR=$S/store"
    ;;
  test) selftest ;;
  *)
    sed -n '2,8p' "$0" >&2
    exit 2
    ;;
esac
