#!/usr/bin/env bash
# generate.sh [check]: formats the examples and modules, writes docs/ from the provider's schemas, templates/ and examples/, the tables of the modules' READMEs, and the dashboard.
# check: fails if that changes what is committed, or if the registry would not take the docs.
set -euo pipefail
cd "$(dirname "$0")/.."
schemas=$(mktemp)
trap 'rm -f "$schemas"' EXIT

"$(command -v terraform || command -v tofu)" fmt -recursive examples
"$(command -v terraform || command -v tofu)" fmt -recursive modules
go test -count=1 ./internal/test/moduledocs ./internal/test/changesdocs -update
go run -C tools/monitoring . > "$schemas" && cat "$schemas" > examples/monitoring/dashboard.json
go run -buildvcs=false ./internal/test/schemajson > "$schemas"
docs() { go tool -modfile=tools/go.mod tfplugindocs "$1" --provider-name routingmesh --providers-schema "$schemas" "${@:2}"; }
docs generate --rendered-provider-name "Routing Mesh"
[ "${1:-}" = check ] || exit 0

docs validate
changed=$(git status --porcelain -- docs examples modules templates)
if [ -n "$changed" ]; then
  git --no-pager diff -- docs examples modules templates
  printf 'make generate changes what is committed; commit it:\n%s\n' "$changed" >&2
  exit 1
fi
