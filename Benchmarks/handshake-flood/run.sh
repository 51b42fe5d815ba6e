#!/bin/bash
# What a flood of handshakes costs an established connection: round-trip times of one connection under mutual TLS, quiet
# and beside full handshakes of strangers. Prints the numbers; nothing fails, because times depend on the machine.
#
#   Benchmarks/handshake-flood/run.sh [path of a release build of sidecar-proxy] [handshakes] [rounds]
#
# The sidecar has a core of its own and one worker; the apps, the connection that is measured and the flood share another
# one, where whatever is measured goes before the flood. The flood has a listener and an app of its own, so that the figures
# are not those of an app that serves a thousand others. Needs Debian's openssl and python3, and two cores.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
binary=${1:-$here/../../.build/release/sidecar-proxy}
handshakes=${2:-1000}
rounds=${3:-5}

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

certificate() { # name, SPIFFE ID, further arguments of openssl req
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" \
    -addext "subjectAltName=URI:$2" -keyout "$directory/$1.key" -out "$directory/$1.crt" "${@:3}" 2>/dev/null
}
certificate ca spiffe://bench.local
for name in server client; do
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
    -keyout "$directory/$name.key" -out "$directory/$name.csr" 2>/dev/null
  printf 'subjectAltName=URI:spiffe://bench.local/%s\nkeyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n' \
    "$name" >"$directory/$name.ext"
  openssl x509 -req -days 1 -in "$directory/$name.csr" -CA "$directory/ca.crt" -CAkey "$directory/ca.key" \
    -CAcreateserial -extfile "$directory/$name.ext" -out "$directory/$name.crt" 2>/dev/null
done

app=$(port) listen=$(port) flooded_app=$(port) flooded=$(port) metrics=$(port) admin=$(port)
cat >"$directory/sidecar.yaml" <<EOF
workers: 1
drain: {grace: 0s, deadline: 1s}
accessLog: {format: "off"}
metrics: {bind: "127.0.0.1:$metrics"}
admin: {bind: "127.0.0.1:$admin"}
identity: {certificate: $directory/server.crt, privateKey: $directory/server.key, trustBundle: $directory/ca.crt}
listeners:
  - {name: inbound, direction: inbound, bind: "127.0.0.1:$listen", target: "127.0.0.1:$app", tls: strict}
  - {name: flooded, direction: inbound, bind: "127.0.0.1:$flooded", target: "127.0.0.1:$flooded_app", tls: strict}
EOF
taskset -c 0 "$binary" run --config "$directory/sidecar.yaml" &
pids+=($!)
taskset -c 1 python3 "$here/flood.py" "$directory" "$app" "$listen" "$flooded_app" "$flooded" "$handshakes" "$rounds"
