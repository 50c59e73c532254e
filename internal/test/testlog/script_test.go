package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeMake says what it is called for, notes it, and fails for $FAILS. lab-up takes until lint is over, and fuzz and
// testkernel wait for each other.
const fakeMake = `#!/bin/bash
meet() { touch "$1"; until [ -e "$2" ]; do sleep 0.01; done; }
echo "making $2"
case $2 in
  lint) meet linting booting; touch linted ;;
  lab-up) [ "${FAILS:-}" = check-generate ] || meet booting linted ;; # else lint is not run
  fuzz) meet fuzzing testing ;;
  testkernel) meet testing fuzzing ;;
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
	cmd.Env = append(os.Environ(), "MAKE="+filepath.Join(dir, "make"), "FAILS="+fails, "KEEP=", "LAB_DIR=")
	out, err := cmd.CombinedOutput()
	if (err != nil) != (fails != "") {
		t.Errorf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "made"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(b)), " "), string(out)
}

// inOrder has what goes on at the same time in one order.
var inOrder = strings.NewReplacer("testkernel previous fuzz", "previous fuzz testkernel", "previous testkernel fuzz", "previous fuzz testkernel", "lab-up check-generate", "check-generate lab-up", "lab-up lint", "lint lab-up", "testkernel fuzz", "fuzz testkernel")

// The lab boots beside lint, and fuzz goes on beside testkernel; what they say comes after what the other says.
func TestScript_SideBySide(t *testing.T) {
	made, printed := testSh(t, "")
	if made = inOrder.Replace(made); made != "build unit check-generate lint lab-up previous fuzz testkernel testacc lab-down" {
		t.Errorf("made %s", made)
	}
	for _, want := range []string{
		"== lint\nmaking lint\n\n== lab-up\nmaking lab-up\n\n== testkernel\nmaking testkernel\n\n== previous\nmaking previous\n\n== fuzz\nmaking fuzz\n\n== testacc\n",
		"== slowest tests\n    1.5 s  a TestSlow\n", "ok, the rest of it", "ok, beside the others", "total",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is missing:\n%s", want, printed)
		}
	}
}

// The first phase that fails ends it, and the lab is ended when it has come up.
func TestScript_Fails_EndsTheLab(t *testing.T) {
	for fails, want := range map[string]string{
		"build":          "build",
		"unit":           "build unit",
		"check-generate": "build unit check-generate lab-up lab-down",
		"lint":           "build unit check-generate lint lab-up lab-down",
		"lab-up":         "build unit check-generate lint lab-up lab-down",
		"fuzz":           "build unit check-generate lint lab-up previous fuzz testkernel lab-down",
		"testkernel":     "build unit check-generate lint lab-up previous fuzz testkernel lab-down",
		"testacc":        "build unit check-generate lint lab-up previous fuzz testkernel testacc lab-down",
	} {
		made, printed := testSh(t, fails)
		if made = inOrder.Replace(made); made != want {
			t.Errorf("%s fails: made %s, want %s", fails, made, want)
		}
		if !strings.Contains(printed, "FAILED in "+fails+"\n") {
			t.Errorf("%s fails:\n%s", fails, printed)
		}
	}
}
