#!/usr/bin/env bash
# test.sh: the phases of make test, one after the other; the first that fails ends it. The lab is ended in any case
# (not with KEEP=1, and not one that ran before). At the end it shows what failed, the tables that the tests on the lab have written,
# and one that says what each phase took and how it went.
set -uo pipefail
cd "$(dirname "$0")/.."
make=${MAKE:-make}
names=() results=() failed='' lab='' log=$(mktemp)
labdir=${LAB_DIR:-.lab}

phase() {
  names+=("$1")
  [ -z "$failed" ] || { results+=("-        not run"); return 0; }
  printf '\n== %s\n' "$1"
  local start=$SECONDS rc=0 how=ok
  "$make" --no-print-directory "$1" 2>&1 | tee "$log" || rc=${PIPESTATUS[0]}
  [ "$rc" = 0 ] || { failed=$1 how="FAILED (exit $rc)"; }
  results+=("$(printf '%5d s  %s' $((SECONDS - start)) "$how")")
}

# failures repeats of the failed phase what says why: the tables of a test that failed stand between it and the end of a long log.
failures() {
  printf '\n== what failed\n'
  grep -E -A8 -e '^ *--- FAIL' -e '^ +[a-z0-9_]+_test\.go:[0-9]+: ' -e '^(panic|fatal error):' -e 'DATA RACE' "$log" | grep -vE '^--$' | cut -c1-400 | head -60
}

finish() {
  trap - EXIT INT TERM
  if [ -n "$lab" ] && [ -z "${KEEP:-}" ]; then
    printf '\n== lab-down\n'
    "$make" --no-print-directory lab-down || failed=${failed:-lab-down}
  fi
  [ -z "$failed" ] || failures
  rm -f "$log"
  for table in "$labdir"/serving/*.txt "$labdir"/faults/table.txt; do
    [ ! -e "$table" ] || printf '\n== %s\n%s\n' "$table" "$(cat "$table")"
  done
  printf '\n%-16s %s\n' phase seconds
  for i in "${!results[@]}"; do printf '%-16s %s\n' "${names[i]}" "${results[i]}"; done
  printf '%-16s %5d s  %s\n' total "$SECONDS" "$([ -z "$failed" ] && echo ok || echo "FAILED in $failed")"
  [ -z "$failed" ] || exit 1
}
trap finish EXIT
trap 'failed=${failed:-interrupted}; exit 130' INT TERM

rm -f "$labdir"/serving/*.txt "$labdir"/faults/table.txt   # of an earlier run
for p in build lint unit check-generate; do phase "$p"; done
[ -n "$failed" ] || bin/lab status >/dev/null 2>&1 || lab=started
for p in lab-up testkernel testacc; do phase "$p"; done
