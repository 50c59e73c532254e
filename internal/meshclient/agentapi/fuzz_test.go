package agentapi

import (
	"net/http"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// FuzzAnswer: whatever an agent answers, it is read or refused, and its words are plain.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"api":1,"version":"1","host":{"hostname":"h","interfaces":[{"name":"eth0","addresses":["192.0.2.1/24"]}]},"problems":[{"object":"node/n1","text":"Gone."}],"warnings":[{"code":"host","object":"node/n1","text":"x"}]}`)
	f.Add(200, `{"api":1,"record":{"format":1,"uid":"x","cluster":{"name":"demo"},"nodes":{"n1":null},"services":{},"ports":{"8080/tcp":null}}}`)
	f.Add(409, `{"code":"busy","text":"\u001b[2JWait.","retry_after_millis":-1}`)
	f.Add(500, "\x1b[2Jnot JSON")
	f.Fuzz(func(t *testing.T, code int, body string) {
		var got mesh.Status
		if code < 100 || code > 999 {
			code = 200
		}
		err := roundTrip(t.Context(), &http.Client{Transport: &says{code: code, answer: body}}, call{path: mesh.PathStatus, answer: &got})
		if IsRefusal(err) && plain.Text(err.Error()) != err.Error() {
			t.Errorf("%q", err)
		}
		if err != nil {
			return
		}
		ep := &sshdial.Endpoint{Host: "h", Port: 22}
		if err := checkStatus(ep, &got); err != nil && plain.Text(err.Error()) != err.Error() {
			t.Errorf("%q", err)
		}
		for _, p := range got.Problems {
			if plain.Text(p.Text) != p.Text || plain.Text(p.Object.String()) != p.Object.String() {
				t.Errorf("%q", p)
			}
		}
	})
}
