#!/usr/bin/env bash
# matrix.sh: the tests of internal/provider, which need no hosts, with each Terraform and OpenTofu of CLIS (name-version; without it
# those that README names). Those that are not there yet are built (cli.sh). A test of what a version does not know is skipped, and counted.
set -euo pipefail
cd "$(dirname "$0")/.."
clis=${CLIS:-terraform-1.5.7 terraform-1.13.5 terraform-1.14.9 tofu-1.6.3 tofu-1.10.10 tofu-1.12.6}
out=$PWD/bin/matrix
mkdir -p "$out"
go test -c -o "$out/provider.test" ./internal/provider

failed=0 table=()
for cli in $clis; do
  if ! path=$(scripts/cli.sh "${cli%%-*}" "${cli#*-}"); then
    failed=1
    table+=("$cli|could not be built")
    continue
  fi
  echo "matrix: $cli"
  host=registry.terraform.io
  case $cli in tofu-*) host=registry.opentofu.org ;; esac
  log=$out/$cli.log
  if (cd internal/provider && TF_ACC_TERRAFORM_PATH=$path TF_ACC_PROVIDER_HOST=$host "$out/provider.test" -test.v -test.parallel=4 -test.timeout=60m > "$log" 2>&1); then verdict=passed; else verdict=FAILED; fi
  count() { grep -c "^--- $1" "$log" || true; }
  if [ "$verdict" != passed ]; then
    failed=1
    grep '^ *--- FAIL\|^panic' "$log" || true
    echo "matrix: all of it is in $log"
  fi
  table+=("$cli|$verdict: $(count PASS) passed, $(count FAIL) failed, $(count SKIP) skipped")
  skipped=$(sed -n 's/^--- SKIP: \([^ ]*\).*/\1/p' "$log" | sort | tr '\n' ' ')
  [ -z "$skipped" ] || table+=("|  skipped: $skipped")
done
printf '%s\n' "${table[@]}" | awk -F'|' '{printf "%-20s %s\n", $1, $2}'
exit $failed
