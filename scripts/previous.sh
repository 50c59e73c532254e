#!/usr/bin/env bash
# previous.sh: builds the provider of the previous version, with its agent in it, into bin/previous, if it is not there yet. A mesh that it
# has made is what the serving test takes over. A shallow clone does not have that version: there it is this one's, under another name.
set -euo pipefail
cd "$(dirname "$0")/.."
# The last commit that has landed before what the checkout adds, or was released: CONTRIBUTING.md says when it moves.
commit=9042528de8eb023d326e998986900ceb614af65f
if [ "$(git rev-parse --is-shallow-repository)" = true ] && ! git cat-file -e "$commit" 2>/dev/null; then commit=$(git rev-parse HEAD); fi
out=$PWD/bin/previous
if [ "$(cat "$out/commit" 2>/dev/null)" = "$commit" ]; then exit 0; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive "$commit" | tar -xC "$work"
cd "$work"
export CGO_ENABLED=0
agents=internal/meshclient/agentbin
mkdir -p $agents "$out"
GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=0.0.9" -o bin/agent ./agent
gzip -1nc bin/agent | tee $agents/routingmesh-agent_linux_arm64.gz > $agents/routingmesh-agent_linux_amd64.gz
go build -trimpath -buildvcs=false -o "$out/terraform-provider-routingmesh" .
echo "$commit" > "$out/commit"
