package agentapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// says is an agent with one answer. It keeps the last request's body.
type says struct {
	code         int
	answer, sent string
}

func (s *says) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		s.sent = string(body)
	}
	return &http.Response{StatusCode: s.code, Status: http.StatusText(s.code), Body: io.NopCloser(strings.NewReader(s.answer)), Request: req}, nil
}

// Agents decode requests strictly, so a request has the fields that the first
// version had. Answers may have fields, codes and objects that are not known here.
func TestRoundTrip_OtherVersions(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"older": `{"problems":[{"object":"node/n1","text":"Gone."}]}`,
		"newer": `{"problems":[{"code":"odd","object":"node/n1","part":"x","since":"y","text":"Gone."}],"more":1}`,
	} {
		agent, got := &says{code: http.StatusOK, answer: answer}, mesh.RepairResponse{}
		err := roundTrip(t.Context(), &http.Client{Transport: agent}, call{
			path: mesh.PathRepair, body: mesh.RepairRequest{Objects: []mesh.Ref{mesh.ClusterRef, mesh.NodeRef("n1")}}, answer: &got,
		})
		if err != nil || len(got.Problems) != 1 || got.Problems[0].Object != mesh.NodeRef("n1") || got.Problems[0].Text != "Gone." {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if agent.sent != `{"objects":["cluster","node/n1"]}` {
			t.Errorf("%s was sent %s", name, agent.sent)
		}
	}
}

func TestRoundTrip_Refusals(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]mesh.RefusalCode{
		`{"code":"busy","text":"Wait."}`: mesh.Busy, `{"code":"odd","text":"No."}`: "odd", `{"text":"No."}`: mesh.Failed, `not JSON`: mesh.Failed,
	} {
		err := roundTrip(t.Context(), &http.Client{Transport: &says{code: http.StatusConflict, answer: answer}}, call{path: mesh.PathStatus})
		if refusal, ok := errors.AsType[*mesh.Refusal](err); !ok || refusal.Code != want || refusal.Text == "" {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// What comes from an agent is plain text; its record is as it is.
func TestRoundTrip_PlainText(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\u009b\u202e"
	var got mesh.Status
	answer := `{"version":"1` + `\u001b[2J` + `","host":{"hostname":"` + evil[len("\x1b[2J"):] + `h"},"problems":[{"object":"node/n1","text":"\u001b]0;x\u0007Gone."}],"record":{"cluster":{"name":"\u001b[2J"}}}`
	err := roundTrip(t.Context(), &http.Client{Transport: &says{code: http.StatusOK, answer: answer}}, call{path: mesh.PathStatus, answer: &got})
	if err != nil || got.Version != "1" || got.Host.Hostname != "h" || got.Problems[0].Text != "Gone." {
		t.Errorf("%q %q %+v, %v", got.Version, got.Host.Hostname, got.Problems, err)
	}
	if got.Record.Cluster.Name != "\x1b[2J" {
		t.Errorf("the record was changed: %q", got.Record.Cluster.Name)
	}
	for _, body := range []string{`{"code":"error","text":"\u001b[2JNo."}`, evil + "No."} {
		err := roundTrip(t.Context(), &http.Client{Transport: &says{code: http.StatusConflict, answer: body}}, call{path: mesh.PathStatus})
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\u009b\u202e") || !strings.Contains(err.Error(), "No.") {
			t.Errorf("%q", err)
		}
	}
}
