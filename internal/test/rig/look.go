package rig

import (
	"context"
	_ "embed"
)

//go:embed look.sh
var lookScript string

// Look is what the hosts look like now, in their order: rules, sets, links, routes, units, sysctls, files. The text of a host is the same
// as long as nobody changes it.
func (l *Lab) Look(ctx context.Context, hosts []string) ([]string, error) {
	return l.OnAll(ctx, hosts, lookScript)
}
