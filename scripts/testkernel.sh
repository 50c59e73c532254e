#!/usr/bin/env bash
# testkernel.sh: go test -json of the agent's tests that need a kernel, on the three nodes of a running lab at once. Those of
# agent/internal/kernel are most of them: each node runs a shard. The lines of the three do not mix: each is one write.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

# on NODE SHARD PACKAGE...
on() {
  TEST_SHARD=$2 go test -buildvcs=false -json -tags kernel -count=1 -timeout 30m -p 1 -exec "$PWD/bin/lab exec-on $1" "${@:3}"
}

pids=() rc=0
on n1 1/3 ./agent/internal/kernel/... & pids+=($!)
on n2 2/3 ./agent/internal/kernel/ ./agent/internal/health/... ./agent/internal/presence/ ./agent/internal/resolver/ ./agent/internal/hostsfile/ & pids+=($!)
on n3 3/3 ./agent/internal/kernel/ ./agent/internal/firewall/... ./agent/internal/nft/... & pids+=($!)
for p in "${pids[@]}"; do wait "$p" || rc=$?; done
exit "$rc"
