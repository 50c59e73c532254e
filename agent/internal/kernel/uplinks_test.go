//go:build !kernel

package kernel

import (
	"os"
	"strings"
	"testing"
)

// TestTwoUplinks_TheGuidesCommandsBringAnswersBack runs these on a node, where there is
// no guide: so this is no part of the kernel suite.
func TestUplinks_TheGuideHasTheTestedCommands(t *testing.T) {
	t.Parallel()
	commands, err := os.ReadFile("testdata/uplinks.sh")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../../../docs/guides/drift-and-failures.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), "```sh\n"+string(commands)+"```") {
		t.Errorf("docs/guides/drift-and-failures.md does not have these commands:\n%s", commands)
	}
}
