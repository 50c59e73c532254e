package health

import (
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestVerdicts: each letter is a result, P of a check that passed and F of one that
// failed; capital where the verdict after it is "failing".
func TestVerdicts(t *testing.T) {
	tests := []struct {
		name       string
		rise, fall int
		results    string
		want       string // after each: . passes, X fails
	}{
		{"three in a row", 2, 3, "FFFPP", "..XX."},
		{"two and two are not three", 2, 3, "FFPFFP", "......"},
		{"one is enough", 1, 1, "FPF", "X.X"},
		{"rising takes a row as well", 3, 1, "FPPFPPP", "XXXXXX."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v verdict
			how := &mesh.HealthCheck{Rise: tt.rise, Fall: tt.fall}
			got := ""
			for i, r := range tt.results {
				before := v.failing
				reason := ""
				if r == 'F' {
					reason = "connection refused"
				}
				if changed := v.note(uint64(i+1), reason, how, time.Unix(int64(i), 0)); changed != (v.failing != before) || changed && v.since != time.Unix(int64(i), 0) {
					t.Errorf("result %d: changed %v, since %v", i, changed, v.since)
				}
				got += map[bool]string{true: "X", false: "."}[v.failing]
				if v.failing != (v.reason != "") {
					t.Errorf("failing %v, reason %q", v.failing, v.reason)
				}
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestAResultThatIsOutOfDateDoesNotCount: checks overlap where the timeout is long.
func TestAResultThatIsOutOfDateDoesNotCount(t *testing.T) {
	how := &mesh.HealthCheck{Rise: 1, Fall: 1}
	var v verdict
	if v.note(2, "", how, time.Time{}); v.note(1, "no answer within 5s", how, time.Time{}) {
		t.Error("a check that began before one that passed made it fail")
	}
	if !v.note(3, "no answer within 5s", how, time.Time{}) || v.note(2, "", how, time.Time{}) {
		t.Error("a check that began before one that failed made it pass")
	}
	if v.note(5, "connection refused", how, time.Time{}); v.reason != "connection refused" {
		t.Error("the reason is that of the last check")
	}
}
