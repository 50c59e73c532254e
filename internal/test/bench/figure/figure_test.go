package figure_test

import (
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		figure figure.Figure
		want   string
	}{
		{figure.Plain("agent", "rss", map[string]string{"ports": "5000"}, 80, "MiB").Want("<= 120"),
			`{"part":"agent","name":"rss","case":{"ports":"5000"},"value":80,"unit":"MiB","compared":80,"goal":"<= 120","met":true}`},
		{figure.Plain("control", "plan", nil, 3, "s").Over(1.5).Want("<= 1"),
			`{"part":"control","name":"plan","value":3,"unit":"s","base":1.5,"compared":1.5,"goal":"<= 1","met":false}`},
		{figure.Plain("datapath", "requests", nil, 650, "1/s").Ratio(1000).Want(">= 0.65"),
			`{"part":"datapath","name":"requests","value":650,"unit":"1/s","base":1000,"compared":0.65,"goal":">= 0.65","met":true}`},
		{figure.Plain("datapath", "cpu", nil, 0, "%"), `{"part":"datapath","name":"cpu","value":0,"unit":"%","compared":0}`},
	} {
		var out strings.Builder
		if err := tt.figure.Write(&out); err != nil || strings.TrimSpace(out.String()) != tt.want {
			t.Errorf("%s, %v, want %s", out.String(), err, tt.want)
		}
	}
}
