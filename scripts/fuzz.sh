#!/usr/bin/env bash
# fuzz.sh: runs each fuzz target for FUZZTIME (1s), two processes at a time on two cores. What fails is written to the package's
# testdata/fuzz/TARGET, from where every later test run tries it again; what is new to a target's code is kept in go's cache.
# FUZZ=REGEXP runs the targets (PACKAGE.TARGET) that match.
#
# A package's targets are one program, built once: go test -fuzz starts a build for each of them. It has no race detector, and
# -fuzzminimizetime=1x, because the engine would spend short runs on making inputs shorter.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-1s} cores=$(nproc)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz
module=$(go list -m)

grep -rl --include='*_test.go' '^func Fuzz' agent internal | xargs -n1 dirname | sort -u > "$work/packages"
while read -r package; do
  program=$work/$(tr / _ <<< "$package").test
  CGO_ENABLED=0 go test -buildvcs=false -c -fuzz=. -o "$program" "./$package"
  for target in $(grep -rhoE --include='*_test.go' --exclude-dir=testdata '^func Fuzz[A-Za-z0-9_]+' "$package"/*_test.go | sed 's/^func //'); do
    if [[ $package.$target =~ ${FUZZ:-.} ]]; then printf '%s %s %s\n' "$package" "$target" "$program"; fi
  done
done < "$work/packages" > "$work/targets"

run() {
  local package=$1 target=$2 program=$3 out
  if ! out=$(cd "$package" && "$program" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$time" -test.fuzzminimizetime=1x \
      -test.parallel=1 -test.timeout=0 -test.fuzzcachedir="$cache/$module/$package" 2>&1) &&
      { grep -q 'Failing input' <<< "$out" || ! grep -q 'context deadline exceeded' <<< "$out"; }; then  # it may say so when the time is over
    printf -- '--- FAIL: %s in %s\n%s\n' "$target" "$package" "$out"
    return 1
  fi
  printf '%-48s %s\n' "$package.$target" "$(grep -oE 'execs: [0-9]+' <<< "$out" | tail -1)"
}
export -f run
export time cache module
xargs -a "$work/targets" -P "$cores" -L 1 bash -c 'run "$@" || exit 255' run
printf '%s targets, %s each\n' "$(wc -l < "$work/targets")" "$time"
