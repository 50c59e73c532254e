package server

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func FuzzParseStored(f *testing.F) {
	for _, rec := range []*mesh.Record{cluster(f, "u", "n1", "n2"), nil} {
		data, err := json.Marshal(Stored{Node: "n1", Record: rec})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		stored, err := parseStored(data)
		if err != nil {
			return
		}
		// What is taken can be kept and read again as the same.
		again, err := json.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseStored(again)
		if err != nil || back.hash() != stored.hash() || back.Node != stored.Node {
			t.Errorf("%q is read back as %+v, %v", again, back, err)
		}
	})
}

func FuzzDecodePrepare(f *testing.F) {
	data, err := json.Marshal(mesh.PrepareRequest{Holder: "w", Node: "n1", Record: cluster(f, "u", "n1")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Add(`{"holder":"w"} x`)
	f.Add(`{"holder":"w","change":{"base":"x","nodes":{"n1":null}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		a := newAgent(t, t.TempDir())
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", mesh.PathPrepare, strings.NewReader(body)))
		if w.Code >= 500 {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}
