package server

import "github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"

// SelfTest tests the overlay and the path of published ports all the time.
type SelfTest interface {
	// Overlay is what the node sees of those that it does not reach.
	Overlay() map[string]mesh.PeerProbe
	// Summary says what is covered; nil on a host that is no node.
	Summary() *mesh.SelfTest
}

// addSelfTest puts what the tests have found and cover into a status.
func (s *Server) addSelfTest(st *mesh.Status) {
	if s.SelfTest != nil {
		st.Overlay, st.SelfTest = s.SelfTest.Overlay(), s.SelfTest.Summary()
	}
}

// Applied is the record on disk, and the node that this host is in it; nil while
// it is not the one of the generation that the kernel has been brought to.
func (s *Server) Applied(generation uint64) (*mesh.Record, string) {
	stored, _ := s.current()
	if stored.Record == nil || stored.generation() != generation {
		return nil, ""
	}
	return stored.Record, stored.Node
}
