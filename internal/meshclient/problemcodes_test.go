package meshclient_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// TestProblemCodes_OldProblemInNewWords: a change of the settings is not to blame for
// what a node has reported before, in whatever words. An agent without codes is known
// by its words alone.
func TestProblemCodes_OldProblemInNewWords(t *testing.T) {
	t.Parallel()
	for _, code := range []mesh.ProblemCode{mesh.ProblemMissing, "", "a code of a newer agent"} {
		f, c := cluster(t, three)
		f.Node("n3").SetProblems(nil, func(r *mesh.Record) []mesh.Problem {
			return []mesh.Problem{{Code: code, Object: mesh.NodeRef("n3"), Part: "link vx0", Text: fmt.Sprintf("The link vx0 is missing: error %d.", r.Generation)}}
		})
		settings := sameRecord(t, f).Cluster
		settings.PublishedPortRange.Last--
		res, err := c.UpdateCluster(deadline(t), settings)
		problems, blamed := errors.AsType[*meshclient.ProblemsError](err)
		switch {
		case code == "":
			if !blamed || !problems.Committed || problems.Problems[0].Node != "n3" {
				t.Errorf("without a code: %+v, %v", res, err)
			}
		case err != nil || len(res.Warnings) != 1 || res.Warnings[0].Code != code || res.Warnings[0].About != mesh.NodeRef("n3"):
			t.Errorf("%s: %+v, %v", code, res, err)
		}
	}
}
