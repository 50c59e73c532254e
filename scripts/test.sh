#!/usr/bin/env bash
# test.sh: the phases of make test, one after the other; the first that fails ends it. The lab boots while lint runs: linting waits for
# nothing, so nothing fails because it is slow, and the image comes from the network. The lab is ended in any case
# (not with KEEP=1, and not one that ran before). At the end it shows what failed, the tables that the tests on the lab have written,
# the slowest tests, and what each phase took and how it went.
set -uo pipefail
cd "$(dirname "$0")/.."
make=${MAKE:-make}
names=() results=() failed='' lab='' boots='' log=$(mktemp) booted=$(mktemp)
export RM_TEST_TIMES; RM_TEST_TIMES=$(mktemp)
labdir=${LAB_DIR:-.lab}

phase() {
  names+=("$1")
  [ -z "$failed" ] || { results+=("-        not run"); return 0; }
  printf '\n== %s\n' "$1"
  local start=$SECONDS rc=0 how=ok
  if [ "$1" = lab-up ] && [ -n "$boots" ]; then
    wait "$boots"; rc=$?
    boots=''
    tee "$log" < "$booted"
    how='ok, after lint'
  else
    "$make" --no-print-directory "$1" 2>&1 | tee "$log" || rc=${PIPESTATUS[0]}
  fi
  [ "$rc" = 0 ] || { failed=$1 how="FAILED (exit $rc)"; }
  results+=("$(printf '%5d s  %s' $((SECONDS - start)) "$how")")
}

# boot starts the lab beside the next phase, which is no other make that builds or installs anything.
boot() {
  [ -z "$failed" ] || return 0
  bin/lab status >/dev/null 2>&1 || lab=started
  "$make" --no-print-directory lab-up > "$booted" 2>&1 & boots=$!
}

# failures repeats of the failed phase what says why: the tables of a test that failed stand between it and the end of a long log.
failures() {
  printf '\n== what failed\n'
  grep -E -A8 -e '^ *--- FAIL' -e '^ +[a-z0-9_]+_test\.go:[0-9]+: ' -e '^(panic|fatal error):' -e 'DATA RACE' "$log" | grep -vE '^--$' | cut -c1-400 | head -60
}

finish() {
  trap - EXIT INT TERM
  [ -z "$boots" ] || wait "$boots"   # half a lab cannot be ended
  if [ -n "$lab" ] && [ -z "${KEEP:-}" ]; then
    printf '\n== lab-down\n'
    "$make" --no-print-directory lab-down || failed=${failed:-lab-down}
  fi
  [ -z "$failed" ] || failures
  rm -f "$log" "$booted"
  for table in "$labdir"/serving/*.txt "$labdir"/faults/{table,firewalls}.txt; do
    [ ! -e "$table" ] || printf '\n== %s\n%s\n' "$table" "$(cat "$table")"
  done
  printf '\n== slowest tests\n'; sort -rn "$RM_TEST_TIMES" | head -20; rm -f "$RM_TEST_TIMES"
  printf '\n%-16s %s\n' phase seconds
  for i in "${!results[@]}"; do printf '%-16s %s\n' "${names[i]}" "${results[i]}"; done
  printf '%-16s %5d s  %s\n' total "$SECONDS" "$([ -z "$failed" ] && echo ok || echo "FAILED in $failed")"
  [ -z "$failed" ] || exit 1
}
trap finish EXIT
trap 'failed=${failed:-interrupted}; exit 130' INT TERM

rm -f "$labdir"/serving/*.txt "$labdir"/faults/{table,firewalls}.txt   # of an earlier run
# An idle lab costs an emulating machine a good part of a processor, so it boots after the unit tests.
phase build
phase unit
phase fuzz
boot
for p in lint lab-up check-generate testkernel testacc; do phase "$p"; done
