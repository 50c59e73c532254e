package report

import "github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"

// selfTest says what the agent's own tests cover; what they find is among the
// warnings. Without an agent there are none.
func (c *checker) selfTest() {
	const check = "self-test"
	if c.status == nil || c.status.SelfTest == nil {
		return
	}
	s := c.status.SelfTest
	switch s.Path {
	case mesh.PathOff:
		c.report.add(check, unsure, "The path of published ports is not tested: %s.", s.Off)
	case mesh.PathIdle:
		c.report.add(check, fine, "no tcp port with an endpoint is published here; %d of %d other nodes answer over the overlay", s.Answering, s.Peers)
	case mesh.PathWaiting:
		c.report.add(check, unsure, "The first test of the path of published ports has not ended yet.")
	case mesh.PathFails:
		c.report.add(check, failed, "The path of published ports fails: see the warnings of `routingmesh-agent status`.")
	default:
		c.report.add(check, fine, "test packets pass through the published ports (%d are tested); %d of %d other nodes answer over the overlay", s.Ports, s.Answering, s.Peers)
	}
}
