#!/usr/bin/env bash
# benchstat.sh: the benchmarks of the pure parts (no kernel, no network), of this tree and of the commit BASE (default: the parent of HEAD; HEAD
# where the tree has changes), each COUNT times (default 6) in turns, compared by benchstat. What is slower by more than 20 %, or allocates
# more, is listed at the end. Slower is reported and no more, as machines are noisy; tests assert the allocations that are promised.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${COUNT:-6} only=${BENCH:-.}
if [ -z "${BASE:-}" ]; then
  BASE=HEAD
  [ -n "$(git status --porcelain -- '*.go' go.mod)" ] || BASE=HEAD~1
fi
work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/base" "$BASE"
echo "benchstat: base is $(git -C "$work/base" log -1 --format='%h %s')" >&2

# build ROOT TO: the test binaries of the packages with benchmarks. The agents that the provider carries are no matter here.
build() {
  local package
  mkdir -p "$2"
  (cd "$1" && grep -rl --include='*_test.go' '^func Benchmark' agent internal | xargs -n1 dirname | sort -u) | while read -r package; do
    (cd "$1" && CGO_ENABLED=0 go test -buildvcs=false -c -o "$2/${package//\//-}" "./$package")
    echo "$package" >> "$2/packages"
  done
}
build "$work/base" "$work/of-base"
build "$PWD" "$work/of-tree"

for round in $(seq "$count"); do
  echo "benchstat: round $round of $count" >&2
  for side in base tree; do
    root=$PWD; [ $side = tree ] || root=$work/base
    while read -r package; do
      (cd "$root/$package" && "$work/of-$side/${package//\//-}" -test.run '^$' -test.bench "$only" -test.benchmem) >> "$work/$side.txt"
    done < "$work/of-$side/packages"
  done
done

stat() { go tool -modfile=tools/go.mod benchstat "$@" base="$work/base.txt" this="$work/tree.txt"; }
stat
echo
stat -format csv 2>/dev/null | awk -F, '
  $2 ~ /^(sec|B|allocs)\/op$/ { unit = $2 }
  $1 != "geomean" && $6 ~ /^\+/ {
    more = $6; gsub(/[+%]/, "", more); more += 0
    if (more > 20 || unit == "allocs/op" && more > 0) { print "WORSE: " $1 ", " unit ": " $6 " (" $7 ")"; worse = 1 }
  }
  END { if (!worse) print "Nothing is slower by more than 20 %, nothing allocates more." }'
