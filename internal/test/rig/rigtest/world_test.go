package rigtest

import (
	"os/exec"
	"strings"
	"testing"
)

// A script waits for what is not so yet, and says what never came to be.
func TestWaitUntil(t *testing.T) {
	run := func(word, what, command string) string {
		out, err := exec.CommandContext(t.Context(), "bash", "-c", word+"cd '"+t.TempDir()+"'\nset -e\n"+WaitUntil(what, command)+"echo done").CombinedOutput()
		if err != nil {
			return err.Error() + ": " + string(out)
		}
		return string(out)
	}
	if got := run(waitWord, "it's there", `echo "don't"; [ -e third ] || { [ ! -e second ] || touch third; touch second; false; }`); got != "done\n" {
		t.Errorf("at the third try: %s", got)
	}
	atOnce := strings.Replace(waitWord, "+ 120", "+ 0", 1)
	if got := run(atOnce, "it's there", "echo 'not yet'; false"); got != "exit status 1: not within 120 s: it's there; the last try said: not yet\n" {
		t.Errorf("never: %s", got)
	}
}
