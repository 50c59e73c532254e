#!/usr/bin/env bash
# model.sh: spin searches the model of the commit protocol (internal/meshclient/model/commit.pml) for a change that was
# acknowledged and is lost. All searches with all rules are exhaustive. Variants leave out one rule, and a loss must be
# found in each. 3 to 5 minutes, and 2 GB of memory.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$PWD/internal/meshclient/model/commit.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# search DEFINES…: sets log, states and errors (what pan says), and took (seconds).
search() {
  local dir began=$SECONDS
  dir=$(mktemp -d "$work/XXXXXX")
  log=$dir/pan.log
  (cd "$dir" && spin -a "$@" "$model" >spin.log && gcc -w -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m20000 -n -w26 >pan.log 2>&1) || true
  grep -q 'errors: [0-9]' "$log" || { cat "$dir"/*.log >&2; echo "model: $*: the search did not end" >&2; exit 1; }
  states=$(awk '/states, stored/ {print $1}' "$log")
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$log")
  took=$((SECONDS - began))
  if grep -q 'max search depth too small\|out of memory' "$log"; then echo "model: $*: the search is not exhaustive" >&2; exit 1; fi
}

# loses VARIANT DEFINES…: the search without a rule must find a loss. It is the assertion that must fail, nothing else.
loses() {
  local variant=$1
  shift
  search "-D$variant" "$@"
  grep -q 'assertion violated ( !(all)' "$log" || { cat "$log" >&2; echo "model: $variant leaves a rule out, and no loss was found in $states states" >&2; exit 1; }
  echo "model: $variant: a loss is found, as it must be ($states states, $took s)"
}

# keeps WHAT DEFINES…: the search with all rules must find nothing.
keeps() {
  local what=$1
  shift
  search "$@"
  [ "$errors" = 0 ] || { cat "$log" >&2; echo "model: $what: an acknowledged change can be lost" >&2; exit 1; }
  echo "model: $what: nothing is lost ($states states, all of them, $took s)"
}

# Sets of voters are bits: 7 is the hosts 0, 1 and 2, 11 is 0, 1 and 3. RECORDS is one more than the records that exist.
# A writer makes the voters WANTED, OTHER or FIRST, so that two writers may each want another set.
grow=(-DFIRST=1 -DWANTED=7 -DOTHER=2)
shrink=(-DFIRST=7 -DWANTED=1 -DOTHER=2)
replace=(-DHOSTS=4 -DFIRST=7 -DWANTED=11 -DOTHER=13)

for variant in ONE_IS_ENOUGH NO_PROMISE NO_SWAP NO_JUDGE; do loses $variant; done
loses AMNESIAC_VOTES -DLOSSES=1
loses ONLY_NEW_MAJORITY "${grow[@]}"
loses ONE_COMMIT "${grow[@]}"
loses UNCERTAIN_ENDS "${shrink[@]}" -DRECORDS=5
# A loss where the first commit is cut off, and one where the second is.
loses READ_BOTH "${replace[@]}"
loses READ_BOTH "${replace[@]}" -DBEGUN -DRECORDS=5
loses JUDGE_BOTH "${shrink[@]}" -DRECORDS=5

keeps "fixed voters" -DRECORDS=5
keeps "fixed voters, one record gets lost" -DRECORDS=5 -DLOSSES=1
keeps "one voter becomes three" "${grow[@]}" -DRECORDS=5
keeps "three voters become one" "${shrink[@]}" -DRECORDS=5
keeps "one of three voters is replaced" "${replace[@]}"
keeps "one of three voters is replaced by a host without a record" "${replace[@]}" -DWITHOUT=8
keeps "one voter becomes three, after the first commit" "${grow[@]}" -DBEGUN -DRECORDS=6
keeps "three voters become one, after the first commit" "${shrink[@]}" -DBEGUN -DRECORDS=6
keeps "one of three voters is replaced, after the first commit" "${replace[@]}" -DBEGUN -DRECORDS=5
keeps "one voter becomes three, one record gets lost" "${grow[@]}" -DLOSSES=1
keeps "three voters become one, one record gets lost" "${shrink[@]}" -DLOSSES=1
keeps "three voters become one, after the first commit, one record gets lost" "${shrink[@]}" -DBEGUN -DRECORDS=5 -DLOSSES=1
