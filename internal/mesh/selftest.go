package mesh

// SelfTest says what a node's own tests cover. What they find is in
// Status.Warnings.
type SelfTest struct {
	// Peers is how many other nodes the overlay is tested to, Answering how many of
	// them answer.
	Peers     int `json:"peers"`
	Answering int `json:"answering"`
	// Ports is how many published ports the path is tested through. Path is what that
	// has come to.
	Ports int      `json:"ports"`
	Path  PathTest `json:"path"`
	// Off is why the path is not tested, with Path PathOff.
	Off string `json:"off,omitempty"`
}

// PathTest is what the test of the path has come to.
type PathTest string

const (
	// PathIdle: no tcp port with an endpoint is open on the node.
	PathIdle PathTest = "idle"
	// PathWaiting: no test has ended yet.
	PathWaiting PathTest = "waiting"
	// PathPasses: nothing fails.
	PathPasses PathTest = "passes"
	// PathFails: Status.Warnings says what fails.
	PathFails PathTest = "fails"
	// PathOff: the node cannot test it.
	PathOff PathTest = "off"
)
