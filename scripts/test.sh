#!/usr/bin/env bash
# test.sh: the phases of make test; the first that fails ends it. What waits more than it computes goes on side by side: the labs boot
# beside check-generate and lint; fuzzing and a lab that counts instructions go beside the kernel's tests, and with LABS=2 each lab takes the
# next part of the acceptance tests when it is free. Nothing of this should fail because it is slow. The labs are ended in any case (not with KEEP=1, and not one that ran before). At the end it shows what
# failed, the tables that the tests on the labs have written, the slowest tests, and what each phase took and how it went.
# LABS is how many labs there are (1); each needs 5 GB of memory. Two are quicker, and what probes ask by the clock fails more easily.
set -uo pipefail
cd "$(dirname "$0")/.."
make=${MAKE:-make}
names=() results=() failed='' boots='' lanes=() started=() work=$(mktemp -d)
log=$work/log booted=$work/booted
export RM_TEST_TIMES; RM_TEST_TIMES=$(mktemp)
dirs=() ports=()
for ((i = 0; i < ${LABS:-1}; i++)); do
  suffix=$((i + 1))
  dirs+=("${LAB_DIR:-.lab}${suffix#1}") ports+=($((${LAB_SSH_PORT:-2200} + 20 * i)))
done

# of I TARGET is make of the target for a lab. What stands on its command line also wins over what make test was called with.
of() { "$make" --no-print-directory "$2" LAB_DIR="${dirs[$1]}" LAB_SSH_PORT="${ports[$1]}"; }

phase() {
  names+=("$1")
  [ -z "$failed" ] || { results+=("-        not run"); return 0; }
  printf '\n== %s\n' "$1"
  local start=$SECONDS rc=0 how=ok
  if [ "$1" = lab-up ]; then
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

# boot starts the labs beside the next phases, up to lab-up, none of which builds or installs what it does.
boot() {
  [ -z "$failed" ] || return 0
  for i in "${!dirs[@]}"; do
    LAB_DIR=${dirs[i]} LAB_SSH_PORT=${ports[i]} bin/lab status >/dev/null 2>&1 || started+=("$i")
  done
  { for i in "${!dirs[@]}"; do of "$i" lab-up || exit; done; } > "$booted" 2>&1 & boots=$!
}

# next takes the first line of a queue.
next() { (flock 9; head -n1 "$1"; sed -i 1d "$1") 9> "$1.lock"; }

# lane makes what is next in a queue until it is empty, with the command that follows. What a phase says comes when it is over, so that
# no two mix; after one that failed nothing more is begun.
lane() {
  local queue=$1 p start rc
  while p=$(next "$queue"); [ -n "$p" ]; do
    printf -- '-- %s has begun\n' "$p"
    start=$SECONDS rc=0
    "${@:2}" "$p" > "$work/said.$p" 2>&1 || rc=$?
    (flock 9; printf '\n== %s\n' "$p"; cat "$work/said.$p"; echo "$p $((SECONDS - start)) $rc" >> "$work/over") 9> "$work/lock"
    [ "$rc" = 0 ] || { : > "$work/queue.labs"; : > "$work/queue.beside"; }
  done
}

# sideBySide runs the phases of $onLabs, each on the lab that is free next, and those of $beside, one after the other, beside them.
sideBySide() {
  printf '%s\n' $onLabs > "$work/queue.labs"
  printf '%s\n' $beside > "$work/queue.beside"
  if [ -z "$failed" ]; then
    for i in "${!dirs[@]}"; do lane "$work/queue.labs" of "$i" & lanes+=($!); done
    lane "$work/queue.beside" nice -n 19 "$make" --no-print-directory & lanes+=($!)
  fi
  joined
}

# joined waits for the lanes, and notes how their phases went.
joined() {
  [ -z "${lanes[*]}" ] || wait "${lanes[@]}"
  lanes=()
  for p in $onLabs $beside; do
    names+=("$p")
    read -r seconds rc < <(sed -n "s/^$p //p" "$work/over" 2>/dev/null) || { results+=("-        not run"); continue; }
    how='ok, beside the others'
    if [ "$rc" != 0 ]; then
      how="FAILED (exit $rc)"
      [ -n "$failed" ] || { failed=$p; cp "$work/said.$p" "$log"; }
    fi
    results+=("$(printf '%5d s  %s' "$seconds" "$how")")
  done
  onLabs='' beside=''
}

# failures repeats of the failed phase what says why: the tables of a test that failed stand between it and the end of a long log.
failures() {
  printf '\n== what failed\n'
  grep -E -A8 -e '^ *--- FAIL' -e '^ +[a-z0-9_]+_test\.go:[0-9]+: ' -e '^(panic|fatal error):' -e 'DATA RACE' "$log" | grep -vE '^--$' | cut -c1-400 | head -60
}

finish() {
  trap - EXIT INT TERM
  [ -z "$boots" ] || wait "$boots"   # half a lab cannot be ended
  [ -z "${lanes[*]}" ] || joined
  if [ -z "${KEEP:-}" ]; then
    for i in "${started[@]}"; do
      printf '\n== lab-down\n'
      of "$i" lab-down || failed=${failed:-lab-down}
    done
  fi
  [ -z "$failed" ] || failures
  rm -rf "$work"
  for table in $(tables); do
    [ ! -e "$table" ] || printf '\n== %s\n%s\n' "$table" "$(cat "$table")"
  done
  printf '\n== slowest tests\n'; sort -rn "$RM_TEST_TIMES" | head -20; rm -f "$RM_TEST_TIMES"
  printf '\n%-18s %s\n' phase seconds
  for i in "${!results[@]}"; do printf '%-18s %s\n' "${names[i]}" "${results[i]}"; done
  printf '%-18s %5d s  %s\n' total "$SECONDS" "$([ -z "$failed" ] && echo ok || echo "FAILED in $failed")"
  [ -z "$failed" ] || exit 1
}
trap finish EXIT
trap 'failed=${failed:-interrupted}; exit 130' INT TERM

tables() { for dir in "${dirs[@]}"; do ls "$dir"/serving/*.txt "$dir"/faults/{table,firewalls}.txt 2>/dev/null; done; }
rm -f $(tables)   # of an earlier run

# An idle lab costs an emulating machine a good part of a processor, so they boot after the unit tests.
phase build
phase unit
boot
for p in check-generate lint lab-up; do phase "$p"; done
onLabs='testkernel' beside='previous fuzz testdatapath'
sideBySide
# The longest first, so that the labs are done at about the same time.
onLabs='testacc-serving testacc-faults testacc-firewalls testacc-rest' beside=''
sideBySide
