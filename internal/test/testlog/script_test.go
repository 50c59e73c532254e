package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeMake says what it is called for, notes it, and fails for $FAILS. lab-up takes until lint is over; fuzz and
// testkernel wait for each other (not where previous fails, and fuzz is not begun), so do two parts of testacc.
const fakeMake = `#!/bin/bash
meet() { touch "$1"; [ "${FAILS:-}" = previous ] || for other in "${@:2}"; do until [ -e "$other" ]; do sleep 0.01; done; done; }
echo "making $2 $3"
case $2 in
  lint) meet linting booting; touch linted ;;
  lab-up) [ "${FAILS:-}" = check-generate ] || meet booting linted ;; # else lint is not run
  fuzz) meet fuzzing kernel ;;
  testkernel) meet kernel fuzzing ;;
  testacc-faults) meet faults serving ;;
  testacc-serving) meet serving faults ;;
  unit) echo '    1.5 s  a TestSlow' >> "$RM_TEST_TIMES" ;;
esac
echo "$2" >> made
[ "$2" != "${FAILS:-}" ]
`

// testSh runs scripts/test.sh with a make that does nothing, and returns what was made, in its order, and what was printed.
func testSh(t *testing.T, fails string) (made, printed string) {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile(filepath.Join("..", "..", "..", "scripts", "test.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"scripts/test.sh": string(script), "make": fakeMake, "bin/lab": "#!/bin/sh\nexit 3\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "scripts", "test.sh"))
	cmd.Env = append(os.Environ(), "MAKE="+filepath.Join(dir, "make"), "FAILS="+fails, "KEEP=", "LAB_DIR=", "LABS=2")
	out, err := cmd.CombinedOutput()
	if (err != nil) != (fails != "") {
		t.Errorf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "made"))
	if err != nil {
		t.Fatal(err)
	}
	return inOrder(strings.Fields(string(b))), string(out)
}

// inOrder has what goes on at the same time in alphabetical order: up to lab-up of both labs, up to lab-down, and the rest.
func inOrder(made []string) string {
	if up := slices.Index(made, "check-generate"); up > 0 {
		up = min(up, slices.Index(append(slices.Clone(made), "lab-up"), "lab-up"))
		down := slices.Index(made, "lab-down")
		tests := down
		for tests > up && !slices.Contains([]string{"lab-up", "lint", "check-generate"}, made[tests-1]) {
			tests--
		}
		slices.Sort(made[up:tests])
		slices.Sort(made[tests:down])
	}
	return strings.Join(made, " ")
}

const (
	upToLab   = "build unit check-generate lab-up lab-up lint "
	sideStart = upToLab + "fuzz previous "
)

// The labs boot beside lint, both have something to do at once, and fuzz goes on beside them; what they say does not mix.
func TestScript_SideBySide(t *testing.T) {
	made, printed := testSh(t, "")
	if made != sideStart+"testacc-faults testacc-firewalls testacc-rest testacc-serving testdatapath testkernel lab-down lab-down" {
		t.Errorf("made %s", made)
	}
	for _, want := range []string{
		"== lint\nmaking lint \n\n== lab-up\nmaking lab-up LAB_DIR=.lab\nmaking lab-up LAB_DIR=.lab2\n",
		"\n== testkernel\nmaking testkernel LAB_DIR=.lab", "\n== previous\nmaking previous \n", "\n== fuzz\nmaking fuzz \n",
		"\n== lab-down\nmaking lab-down LAB_DIR=.lab\n\n== lab-down\nmaking lab-down LAB_DIR=.lab2\n",
		"== slowest tests\n    1.5 s  a TestSlow\n", "ok, the rest of it", "ok, beside the others", "total",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is missing:\n%s", want, printed)
		}
	}
}

// The first phase that fails ends it, but for what goes on beside it, and the labs are ended when they have come up.
func TestScript_Fails_EndsTheLab(t *testing.T) {
	for fails, want := range map[string]string{
		"build":          "build",
		"unit":           "build unit",
		"check-generate": "build unit check-generate lab-up lab-up lab-down lab-down",
		"lint":           upToLab + "lab-down lab-down",
		"lab-up":         "build unit check-generate lab-up lint lab-down lab-down",
		"previous":       sideStart,
		"fuzz":           sideStart,
		"testkernel":     sideStart,
		"testacc-faults": sideStart,
	} {
		made, printed := testSh(t, fails)
		if want == sideStart { // what is beside it goes on, and the other lab may have begun one more
			if !strings.HasPrefix(made, upToLab) || !strings.HasSuffix(made, " lab-down lab-down") || strings.Contains(made, "testacc-rest") {
				t.Errorf("%s fails: made %s", fails, made)
			}
		} else if made != want {
			t.Errorf("%s fails: made %s, want %s", fails, made, want)
		}
		if !strings.Contains(printed, "FAILED in "+fails+"\n") {
			t.Errorf("%s fails:\n%s", fails, printed)
		}
	}
}
