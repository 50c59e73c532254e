#!/usr/bin/env bash
# cli.sh terraform|tofu VERSION: builds that Terraform or OpenTofu from the Go module proxy, if it is not in ~/.cache yet, and prints its path.
# Source that the checksum database does not vouch for is not built.
#   Terraform from 1.9 on keeps its remote-state backends in modules of their own, which the proxy does not have. The tests keep their states
#   in files: such a Terraform is built without those backends. It is for tests only.
set -euo pipefail
name=$1 version=$2
out=${RM_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/routingmesh-toolchain}/clis
path=$out/$name-$version
if [ -x "$path" ]; then echo "$path"; exit 0; fi
case $name in
  terraform) module=github.com/hashicorp/terraform package=. ;;
  tofu) module=github.com/opentofu/opentofu package=./cmd/tofu ;;
  *) echo "cli.sh: neither terraform nor tofu: $name" >&2; exit 2 ;;
esac
echo "cli.sh: building $name $version from source (some minutes)" >&2
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset GOFLAGS
source=$(go mod download -json "$module@v$version" | awk -F'"' '$2 == "Dir" {print $4}')
[ -n "$source" ] || { echo "cli.sh: the Go module proxy does not have $module v$version" >&2; exit 1; }
cp -R "$source/." . && chmod -R u+w .

# Nested modules are not part of a module's zip.
nested=$(go mod edit -json | awk -F'"' '$2 == "Replace" {r = 1} r && $2 == "Path" && $4 ~ /^github.com\/hashicorp\/terraform\// {print $4}')
for n in $nested; do
  go mod edit -droprequire="$n" -dropreplace="$n"
  alias=$(sed -n "s|^[[:space:]]*\([A-Za-z0-9]*\) \"$n\"\$|\1|p" internal/backend/init/init.go)
  if [ -n "$alias" ]; then sed -i "/[[:space:]]$alias /d; /$alias\.New()/d" internal/backend/init/init.go; fi
done
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X $module/version.dev=no" -o "$path.new" "$package" >&2
mv "$path.new" "$path"
echo "$path"
