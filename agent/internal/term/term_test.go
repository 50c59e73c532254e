package term

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFold(t *testing.T) {
	var b strings.Builder
	Fold(&b, "ok    ", "      ", strings.Repeat("übung ", 40)+strings.Repeat("x", 2*Width))
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		if !strings.HasPrefix(line, map[bool]string{true: "ok    ", false: "      "}[i == 0]) {
			t.Errorf("line %d: %q", i, line)
		}
		if n := utf8.RuneCountInString(line); n > Width && !strings.Contains(line, "xxx") || strings.HasSuffix(line, " ") {
			t.Errorf("line %d has %d columns: %q", i, n, line)
		}
	}
	if got := strings.Fields(b.String()); len(got) != 42 {
		t.Errorf("%d words", len(got))
	}
	b.Reset()
	if Fold(&b, "ok  ", "", ""); b.String() != "ok\n" {
		t.Errorf("%q", b.String())
	}
}
