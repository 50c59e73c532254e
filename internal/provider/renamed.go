package provider

import "fmt"

// renamed is the warning of a resource that is to be created and that the
// cluster has already. Mostly its key in Terraform was renamed, or it was moved
// into a module: then the same apply destroys it, and the create waits for that.
// Whether it does cannot be known while planning: resources are planned in any
// order.
func renamed(kind, has, consequence, otherwise string) string {
	return fmt.Sprintf(`%[2]s. If that is a resource which this same apply destroys (its key or name in the configuration was changed), this one is created after that: %[3]s. `+
		"Write a moved block instead, and nothing is destroyed:\n\n"+
		"  moved {\n    from = %[1]s.NAME[\"OLD\"]\n    to   = %[1]s.NAME[\"NEW\"]\n  }\n\n"+
		"If it belongs to another Terraform state, this will fail: %[4]s.", kind, has, consequence, otherwise)
}
