#!/bin/bash
# What the sidecar costs a pod while it has little to do: resident memory of the idle process, of idle connections in
# the clear, and the time from its start to ready. Prints the numbers; design targets are beside them for the eye, and
# nothing fails, because memory depends on the machine's page and library sizes.
#
#   Benchmarks/memory/run.sh [path of a release build of sidecar-proxy] [number of connections]
#
# The app is nginx with connections that never time out. Each connection has carried one request and one answer, so
# that whatever a connection leaves behind is there. Needs Debian's nginx; run it where the hard limit on open files is
# four times the number of connections and more.
set -euo pipefail

binary=${1:-$(dirname "$0")/../../.build/release/sidecar-proxy}
connections=${2:-2000}
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || { echo "nginx is not installed: apt-get install nginx-light" >&2; exit 1; }
ulimit -n "$(ulimit -Hn)"

directory=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$directory"
}
trap finish EXIT

port() { # one that nothing listens on, below the range of outgoing connections
  local candidate
  while :; do
    candidate=$((10240 + RANDOM % 22000))
    (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || { echo "$candidate"; return; }
  done
}
app=$(port) listen=$(port) metrics=$(port) admin=$(port)

# nginx makes this its worker's own; the sidecar, which is root without capabilities then, could not write beside it.
scratch=$directory/nginx
mkdir "$scratch"
cat >"$directory/nginx.conf" <<EOF
daemon off;
pid $directory/nginx.pid;
error_log stderr error;
worker_processes 1;
worker_rlimit_nofile $((connections + 100));
events { worker_connections $((connections + 100)); }
http {
  access_log off;
  keepalive_timeout 1h;
  client_body_temp_path $scratch; proxy_temp_path $scratch; fastcgi_temp_path $scratch;
  uwsgi_temp_path $scratch; scgi_temp_path $scratch;
  server { listen 127.0.0.1:$app backlog=4096; location / { return 204; } }
}
EOF
cat >"$directory/sidecar.yaml" <<EOF
workers: 1
drain: {grace: 0s, deadline: 1s}
accessLog: {path: $directory/access.log}
metrics: {bind: "127.0.0.1:$metrics"}
admin: {bind: "127.0.0.1:$admin"}
listeners:
  - {name: inbound, direction: inbound, bind: "127.0.0.1:$listen", target: "127.0.0.1:$app"}
EOF

# The status of one GET, without the start of a program, which would take longer than the sidecar's own.
get() {
  local status=""
  {
    exec {http}<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n' "$2" "$1" >&"$http" &&
      read -r -u "$http" _ status _
    exec {http}>&-
  } 2>/dev/null || true
  echo "${status:-0}"
}

"$nginx" -e stderr -p "$directory" -c "$directory/nginx.conf" &
pids+=($!)
until [ "$(get "$app" /)" = 204 ]; do sleep 0.1; done

start_sidecar() {
  "$binary" run --config "$directory/sidecar.yaml" 2>"$directory/sidecar.log" &
  sidecar=$!
}
declare -a starts
for _ in 1 2 3 4 5 6 7 8 9; do
  begun=${EPOCHREALTIME/./}
  start_sidecar
  until [ "$(get "$metrics" /healthz/ready)" = 200 ]; do kill -0 "$sidecar" || { cat "$directory/sidecar.log"; exit 1; }; done
  starts+=($((${EPOCHREALTIME/./} - begun)))
  kill -INT "$sidecar"
  wait "$sidecar"
done
IFS=$'\n' read -r -d '' -a starts < <(printf '%s\n' "${starts[@]}" | sort -n && printf '\0')

start_sidecar
pids+=("$sidecar")
until [ "$(get "$metrics" /healthz/ready)" = 200 ]; do :; done
[ "$(get "$listen" /)" = 204 ]

kilobytes() { awk -v name="$1:" '$1 == name {print $2}' "/proc/$sidecar/smaps_rollup"; }
idle_rss=$(kilobytes Rss) idle_anonymous=$(kilobytes Anonymous)

descriptors=()
for ((i = 0; i < connections; i++)); do
  exec {descriptor}<>"/dev/tcp/127.0.0.1/$listen"
  printf 'GET / HTTP/1.1\r\nHost: app\r\n\r\n' >&"$descriptor"
  while read -r -u "$descriptor" line && [ "$line" != $'\r' ]; do :; done
  descriptors+=("$descriptor")
done
full_rss=$(kilobytes Rss)
for descriptor in "${descriptors[@]}"; do exec {descriptor}>&-; done
sleep 1 # for the proxy to see the ends; this is a measurement, not a test
after_rss=$(kilobytes Rss)

row() { printf '%-42s %10s   %s\n' "$@"; }
row "start to ready, median of 9" "$(awk "BEGIN {printf \"%.1f ms\", ${starts[4]} / 1000}")" "aim: 20 ms"
row "idle process, resident" "$idle_rss KiB" "target: 16384 KiB"
row "idle process, anonymous" "$idle_anonymous KiB" "target: 2560 KiB"
row "one of $connections idle connections, resident" \
  "$(awk "BEGIN {printf \"%.2f KiB\", ($full_rss - $idle_rss) / $connections}")" "target: 1 KiB"
row "after they have ended, resident" "$after_rss KiB" ""
