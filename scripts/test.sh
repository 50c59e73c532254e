#!/usr/bin/env bash
# test.sh: the phases of make test; the first that fails ends it. The lab boots beside check-generate and lint, and fuzzing goes on beside
# the kernel's tests, which wait more than they compute: nothing of this fails because it is slow. The lab is ended in any case (not with
# KEEP=1, and not one that ran before). At the end it shows what failed, the tables that the tests on the lab have written, the slowest
# tests, and what each phase took and how it went.
set -uo pipefail
cd "$(dirname "$0")/.."
make=${MAKE:-make}
names=() results=() failed='' lab='' boots='' besides='' work=$(mktemp -d)
log=$work/log booted=$work/booted
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
    how='ok, the rest of it'
  else
    "$make" --no-print-directory "$1" 2>&1 | tee "$log" || rc=${PIPESTATUS[0]}
  fi
  [ "$rc" = 0 ] || { failed=$1 how="FAILED (exit $rc)"; }
  results+=("$(printf '%5d s  %s' $((SECONDS - start)) "$how")")
}

# boot starts the lab beside the next phases, up to lab-up, none of which builds or installs what it does.
boot() {
  [ -z "$failed" ] || return 0
  bin/lab status >/dev/null 2>&1 || lab=started
  "$make" --no-print-directory lab-up > "$booted" 2>&1 & boots=$!
}

# beside begins phases that run one after the other beside the next ones of phase. joined waits for them, and shows what they have said.
beside() {
  [ -z "$failed" ] || return 0
  (
    for p; do
      start=$SECONDS rc=0
      nice -n 19 "$make" --no-print-directory "$p" > "$work/beside.$p" 2>&1 || rc=$?
      echo "$p $((SECONDS - start)) $rc" >> "$work/besides"
      [ "$rc" = 0 ] || break
    done
  ) & besides=$!
}

joined() {
  [ -n "$besides" ] || return 0
  wait "$besides"
  besides=''
  while read -r p seconds rc; do
    printf '\n== %s\n' "$p"
    cat "$work/beside.$p"
    how='ok, beside the others'
    if [ "$rc" != 0 ]; then
      how="FAILED (exit $rc)"
      [ -n "$failed" ] || { failed=$p; cp "$work/beside.$p" "$log"; }
    fi
    names+=("$p") results+=("$(printf '%5d s  %s' "$seconds" "$how")")
  done < "$work/besides"
}

# failures repeats of the failed phase what says why: the tables of a test that failed stand between it and the end of a long log.
failures() {
  printf '\n== what failed\n'
  grep -E -A8 -e '^ *--- FAIL' -e '^ +[a-z0-9_]+_test\.go:[0-9]+: ' -e '^(panic|fatal error):' -e 'DATA RACE' "$log" | grep -vE '^--$' | cut -c1-400 | head -60
}

finish() {
  trap - EXIT INT TERM
  [ -z "$boots" ] || wait "$boots"   # half a lab cannot be ended
  joined
  if [ -n "$lab" ] && [ -z "${KEEP:-}" ]; then
    printf '\n== lab-down\n'
    "$make" --no-print-directory lab-down || failed=${failed:-lab-down}
  fi
  [ -z "$failed" ] || failures
  rm -rf "$work"
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
boot
for p in check-generate lint lab-up; do phase "$p"; done
beside previous fuzz
phase testkernel
joined
phase testacc
