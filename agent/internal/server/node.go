package server

// Node is the host's name in the record, "" while it is no node.
func (s *Server) Node() string {
	stored, _ := s.current()
	return stored.Node
}
