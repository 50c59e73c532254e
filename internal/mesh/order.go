package mesh

import "fmt"

// Promise is the newest generation for which an agent has granted a voter's lease,
// and the writer that it has granted it to. It outlives the agent and the lease: of
// two writers with one generation, one is refused by every voter that both ask.
type Promise struct {
	Generation uint64 `json:"generation"`
	Holder     string `json:"holder"`
}

// Refuses says that the promise stands against a lease for the generation.
func (p Promise) Refuses(generation uint64, holder string) bool {
	return generation < p.Generation || (generation == p.Generation && holder != p.Holder)
}

// OutOfOrder says why a host with the record own (nil for none) does not replace it
// by next, "" where it does.
func (req *PrepareRequest) OutOfOrder(own *Record, ownHash string, next *Record) string {
	if own == nil {
		if req.Replaces != "" {
			return fmt.Sprintf("The node has no record any more, and had %.12s when the change was made. Run terraform apply again.", req.Replaces)
		}
		return ""
	}
	seen := next.Parent == ownHash || req.Replaces == ownHash
	switch mine, theirs := own.Generation, next.Generation; {
	case theirs > mine && theirs-mine > MaxGenerationJump:
		return fmt.Sprintf("The record jumps from the node's generation %d to %d, which no number of changes does: it is damaged or forged.", mine, theirs)
	case theirs <= mine && (mine-theirs <= MaxGenerationJump || req.Replaces != ownHash):
		return fmt.Sprintf("The cluster has changed since it was read: the node has generation %d, the change was made for generation %d. "+
			"Run terraform apply again; it starts from what the cluster is now.", mine, theirs)
	case !seen && theirs == mine+1:
		return fmt.Sprintf("The cluster has forked: the node's generation %d is %.12s, and the change was made to a generation %d that is %.12s. "+
			"Two writers have committed without seeing each other; run terraform plan to see what each node has.", mine, ownHash, mine, next.Parent)
	case !seen:
		return fmt.Sprintf("The node's generation %d (%.12s) is not the record that the writer has seen here (%.12s). Run terraform apply again.",
			mine, ownHash, req.Replaces)
	}
	return ""
}
