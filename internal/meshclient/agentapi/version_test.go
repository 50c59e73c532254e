package agentapi

import "testing"

func TestNewerThan(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"0.2.0", "0.1.9", true}, {"0.10.0", "0.9.0", true}, {"v1.0.0", "1.0.0", false}, {"1.0.0", "1.0.0-rc1", true}, {"1.0.0-rc1", "1.0.0", false},
		{"0.1.0", "0.1.0", false}, {"dev", "0.1.0", false}, {"1.0.0", "dev", false}, {"1.0", "0.9", false}, {"", "", false},
	} {
		if got := newerThan(tt.a, tt.b); got != tt.want {
			t.Errorf("%s newer than %s: %v", tt.a, tt.b, got)
		}
	}
}
