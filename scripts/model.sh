#!/usr/bin/env bash
# model.sh: spin searches the model of the commit protocol (internal/meshclient/model/commit.pml) for a change that was
# acknowledged and is lost: exhaustively for three voters, two writers and one record that gets lost. Then it searches
# variants that leave a rule out, and expects to find a loss in each. 3 to 5 minutes and 3 GB of memory.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$PWD/internal/meshclient/model/commit.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# search NAME DEFINES…: prints what pan says of errors and states.
search() {
  local name=$1 dir=$work/$1
  shift
  mkdir "$dir"
  (cd "$dir" && spin -a "$@" "$model" >spin.log && gcc -w -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m20000 -n -w26 >pan.log 2>&1) || true
  grep -q 'errors: [0-9]' "$dir/pan.log" || { cat "$dir"/*.log >&2; echo "model: $name: the search did not end" >&2; exit 1; }
  states=$(awk '/states, stored/ {print $1}' "$dir/pan.log")
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$dir/pan.log")
  if grep -q 'max search depth too small\|out of memory' "$dir/pan.log"; then echo "model: $name: the search is not exhaustive" >&2; exit 1; fi
}

for variant in ONE_IS_ENOUGH NO_PROMISE NO_SWAP NO_JUDGE AMNESIAC_VOTES; do
  losses=0
  [ $variant = AMNESIAC_VOTES ] && losses=1
  search $variant -D$variant -DLOSSES=$losses
  [ "$errors" != 0 ] || { echo "model: $variant leaves a rule out, and no loss was found in $states states" >&2; exit 1; }
  echo "model: $variant: a loss is found, as it must be ($states states)"
done
for losses in 0 1; do
  search rules-$losses -DLOSSES=$losses
  [ "$errors" = 0 ] || { cat "$work/rules-$losses/pan.log" >&2; echo "model: an acknowledged change can be lost" >&2; exit 1; }
  echo "model: with all rules, and $losses records that get lost, nothing is lost ($states states, all of them)"
done
