#!/usr/bin/env bash
# generate.sh [check]: formats the examples and writes docs/ from the provider's schemas, templates/ and examples/.
# check: fails if that changes what is committed, or if the registry would not take the docs.
# The schemas come from the provider in bin/, through the terraform or tofu of PATH: nothing is downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."
name=routingmesh
cli=$(command -v terraform || command -v tofu)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$cli" fmt -recursive examples

cat > "$tmp/main.tf" <<EOF
terraform {
  required_providers {
    $name = { source = "registry.terraform.io/routingmesh/$name" }
  }
}
provider "$name" {}
EOF
cat > "$tmp/rc" <<EOF
provider_installation {
  dev_overrides { "registry.terraform.io/routingmesh/$name" = "$PWD/bin" }
  direct {}
}
EOF
TF_CLI_CONFIG_FILE=$tmp/rc "$cli" -chdir="$tmp" providers schema -json > "$tmp/schema.json"
# tfplugindocs looks the provider up under this name only
sed -i "s#registry.terraform.io/routingmesh/$name#registry.terraform.io/hashicorp/$name#" "$tmp/schema.json"

docs() { go tool -modfile=tools/go.mod tfplugindocs "$1" --provider-name "$name" --providers-schema "$tmp/schema.json" "${@:2}"; }
docs generate
[ "${1:-}" = check ] || exit 0

docs validate
changed=$(git status --porcelain -- docs examples)
if [ -n "$changed" ]; then
  git --no-pager diff -- docs examples
  printf 'make generate changes what is committed; commit it:\n%s\n' "$changed" >&2
  exit 1
fi
