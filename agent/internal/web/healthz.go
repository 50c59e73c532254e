package web

import (
	"encoding/json"
	"net/http"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What a node, or a service on it, says of itself.
const (
	serving    = "serving"
	draining   = "draining"
	starting   = "starting"
	broken     = "broken"
	noEndpoint = "no endpoint"
	unknown    = "unknown"
)

// nodeAnswer is the body of /healthz.
type nodeAnswer struct {
	Node   string `json:"node"`
	Status string `json:"status"`
	Why    string `json:"why,omitempty"`
	// Generation is the record's that the kernel had last as a whole.
	Generation uint64 `json:"generation"`
}

// serviceAnswer is the body of /healthz/SERVICE.
type serviceAnswer struct {
	Node    string `json:"node"`
	Service string `json:"service"`
	Status  string `json:"status"`
	Why     string `json:"why,omitempty"`
	// Endpoints get new connections that come in here; LocalEndpoints are those of
	// them on this node.
	Endpoints      int `json:"endpoints"`
	LocalEndpoints int `json:"local_endpoints"`
}

func (f *Front) healthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		status, body := f.place.Load().health(f.options.State, f.options.Warnings())
		answer(w, status, body)
	})
	mux.HandleFunc("GET /healthz/{service}", func(w http.ResponseWriter, req *http.Request) {
		status, body := f.place.Load().serviceHealth(req.PathValue("service"), f.options.State, f.options.Warnings())
		answer(w, status, body)
	})
	return mux
}

// health is 200 while the node is for sending connections to. One port that the
// kernel has not taken is no reason to turn away from all: it may be the same on
// every node, and a balancer would be left with none.
func (p *place) health(state State, warnings []mesh.Warning) (status int, body nodeAnswer) {
	stats := state.Stats()
	body = nodeAnswer{Node: p.node, Generation: stats.Applied}
	switch {
	case p.self() == nil:
		body.Status, body.Why = unknown, "this host is no node"
	case !p.self().Serving():
		body.Status, body.Why = draining, whyDraining
	case stats.Generation == 0:
		body.Status, body.Why = starting, "the agent has just started and is applying the record"
	case stats.Broken != "":
		body.Status, body.Why = broken, stats.Broken
	default:
		if why := p.turnsAway(warnings, state.Conditions()); why != "" {
			body.Status, body.Why = broken, why
			break
		}
		body.Status = serving
		return http.StatusOK, body
	}
	return http.StatusServiceUnavailable, body
}

const whyDraining = `the node's availability is "drain"`

// serviceHealth is 200 while connections to the service that come in here reach an
// endpoint.
func (p *place) serviceHealth(name string, state State, warnings []mesh.Warning) (status int, body serviceAnswer) {
	body = serviceAnswer{Node: p.node, Service: name}
	if p.self() == nil || p.rec.Services[name] == nil {
		body.Status, body.Why = unknown, "the cluster has no such service"
		return http.StatusNotFound, body
	}
	body.Endpoints, body.LocalEndpoints = compile.Serves(p.rec, p.node, name, state.Conditions())
	node, of := p.health(state, warnings)
	switch {
	case node != http.StatusOK:
		body.Status, body.Why = of.Status, of.Why
	case len(p.rec.ServicePorts(name)) == 0:
		body.Status, body.Why = noEndpoint, "the service publishes no port"
	case body.Endpoints == 0:
		body.Status, body.Why = noEndpoint, "no endpoint of it gets connections here: there is none, or they drain, have the weight 0, or fail their checks"
	default:
		if why := p.turnsAwayFrom(name, body.LocalEndpoints, warnings); why != "" {
			body.Status, body.Why = broken, why
			break
		}
		body.Status = serving
		return http.StatusOK, body
	}
	return http.StatusServiceUnavailable, body
}

func answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // plain fields
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // who does not listen any more needs no answer
}
