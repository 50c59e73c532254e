package meshclient

import (
	"fmt"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Notice is what the caller of a change should know although the change went through.
type Notice struct {
	// Code is the kind of notice.
	Code mesh.ProblemCode
	// About is the node or host that it is about, zero where that is none or several.
	About mesh.Ref
	// Text is one or a few sentences that name the node.
	Text string
}

func (n Notice) String() string { return n.Text }

func notice(code mesh.ProblemCode, about mesh.Ref, format string, args ...any) Notice {
	return Notice{code, about, fmt.Sprintf(format, args...)}
}

// forkNotices are the snapshot's warnings as notices of a change.
func (s *Snapshot) forkNotices() []Notice {
	var all []Notice
	for _, text := range s.Warnings {
		all = append(all, Notice{Code: mesh.ProblemFork, Text: text})
	}
	return all
}

// unique keeps the first of equal notices.
func unique(all []Notice) []Notice {
	seen := map[Notice]bool{}
	return slices.DeleteFunc(slices.Clone(all), func(n Notice) bool {
		was := seen[n]
		seen[n] = true
		return was
	})
}
