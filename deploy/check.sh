#!/usr/bin/env bash
# Checks everything in deploy/ that can be checked without a cluster: `make check-deploy` and CI call it.
# Usage: deploy/check.sh            check
#        deploy/check.sh --update   write the expected renders of the examples anew, then check
#
# It takes kubectl and kubernetes_validate, which scripts/install-kubernetes-tools leaves in .build/tools, promtool and
# the base of the seccomp profile, which scripts/install-packages brings.
set -euo pipefail
cd "$(dirname "$0")"

tools=${SIDECAR_TOOLS:-$PWD/../.build/tools}
export PATH="$tools:$PATH" PYTHONPATH="$tools/python"

for program in kubectl promtool python3; do
  if ! command -v "$program" >/dev/null; then
    echo "check.sh: $program not found; make setup-tests installs it" >&2
    exit 1
  fi
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The examples, as they are rendered today against what was reviewed.
for example in examples/*/ examples/namespaces/*/; do
  [ -f "$example/sidecar.yaml" ] || continue
  kubectl kustomize "$example" >"$scratch/render.yaml"
  [ "${1:-}" = --update ] && cp "$scratch/render.yaml" "$example/expected.yaml"
  diff --unified "$example/expected.yaml" "$scratch/render.yaml" || {
    echo "check.sh: $example renders otherwise; if that is right, run deploy/check.sh --update" >&2
    exit 1
  }
done

# Kubernetes' own schemas, and what the manifests promise.
python3 check/manifests.py

# The node's part: the installer renders, and the profile is what its base comes to.
kubectl kustomize seccomp >/dev/null
seccomp/derive >"$scratch/profile.json"
diff --unified seccomp/sidecar-proxy.json "$scratch/profile.json"

# Prometheus and Grafana.
promtool check rules --lint-fatal prometheus/rules.yml
promtool test rules prometheus/rules-test.yml
python3 check/observability.py

echo "deploy: all checks passed"
