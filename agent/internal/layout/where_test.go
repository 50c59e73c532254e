package layout

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhereToLook(t *testing.T) {
	t.Parallel()
	l := Layout{Root: t.TempDir()}
	for _, step := range []struct{ add, want string }{
		{"", "not installed here"},
		{l.Link(), "run terraform apply"},
		{l.LogFile(), "see " + l.LogFile()},
		{l.Unit(), "systemctl status"},
	} {
		if step.add != "" {
			if err := os.MkdirAll(filepath.Dir(step.add), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(step.add, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.WhereToLook(); !strings.Contains(got, step.want) {
			t.Errorf("with %s: %q", step.add, got)
		}
	}
}
