package serving

import (
	"encoding/json"
	"maps"
	"strconv"
)

// Cluster is what the tests have Terraform make: the variables of testdata/main.tf.
type Cluster struct {
	Away          []string           `json:"away"`
	Drained       []string           `json:"drained"`
	Services      map[string]Service `json:"services"`
	Check         *Check             `json:"check,omitempty"`
	Ports         map[string]Port    `json:"ports"` // by PORT/PROTOCOL
	HealthAddress string             `json:"health_address,omitempty"`
}

// Service is one of its services.
type Service struct {
	Endpoints       map[string]Endpoint `json:"endpoints"`
	Scheduler       string              `json:"scheduler,omitempty"`
	SessionAffinity *Affinity           `json:"session_affinity,omitempty"`
	OnUnhealthy     string              `json:"on_unhealthy,omitempty"`
	DrainTimeout    string              `json:"drain_timeout,omitempty"`
}

// Endpoint is a process on a node; without a port it listens on the published port's target port.
type Endpoint struct {
	Node   string `json:"node"`
	Port   int    `json:"port,omitempty"`
	Weight *int   `json:"weight,omitempty"`
}

// Name is what the load's server there answers with, given the port where the endpoint has none.
func (e Endpoint) Name(target int) string {
	if e.Port != 0 {
		target = e.Port
	}
	return e.Node + ":" + strconv.Itoa(target)
}

// Affinity keeps a client at its endpoint.
type Affinity struct {
	Timeout string `json:"timeout"`
}

// Check is how endpoints are checked.
type Check struct {
	Interval string `json:"interval"`
	Timeout  string `json:"timeout"`
	Fall     int    `json:"fall"`
	Rise     int    `json:"rise"`
}

// Port is a published port.
type Port struct {
	Service string `json:"service"`
	Target  int    `json:"target_port"`
}

// With is the cluster with a service changed.
func (c Cluster) With(name string, change func(*Service)) Cluster {
	s := c.Services[name]
	s.Endpoints = maps.Clone(s.Endpoints)
	change(&s)
	c.Services = maps.Clone(c.Services)
	c.Services[name] = s
	return c
}

// WithPort is the cluster with a port published, or changed.
func (c Cluster) WithPort(key string, p Port) Cluster {
	c.Ports = maps.Clone(c.Ports)
	c.Ports[key] = p
	return c
}

// Variables are the text of a .tfvars.json file.
func (c Cluster) Variables() (string, error) {
	if c.Away == nil {
		c.Away = []string{}
	}
	if c.Drained == nil {
		c.Drained = []string{}
	}
	b, err := json.MarshalIndent(c, "", "  ")
	return string(b) + "\n", err
}
