package datapath

import (
	"context"
	"fmt"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

// client is the host that asks.
const client = "client"

// route has the hosts of the way reach each other through the entry node, which forwards and tells nobody of the shorter way.
// takeBack undoes it; it is there with an error, too.
func (w Way) route(ctx context.Context, lab *rig.Lab, addresses map[string]string) (takeBack func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	if len(w.routes) == 0 {
		return nothing, nil
	}
	own, err := lab.SSH(ctx, client, "hostname -I")
	if err != nil {
		return nothing, err
	}
	to := map[string]string{client: addresses[Endpoint], Endpoint: strings.TrimSpace(own)}
	set := func(ctx context.Context, verb string, forward int) error {
		for _, host := range w.routes {
			if _, err := lab.SSH(ctx, host, fmt.Sprintf("ip route %s %s/32 via %s", verb, to[host], addresses[Entry])); err != nil {
				return fmt.Errorf("a route through %s on %s: %w", Entry, host, err)
			}
		}
		_, err := lab.SSH(ctx, Entry, fmt.Sprintf("for f in /proc/sys/net/ipv4/conf/*/send_redirects; do echo %d > $f; done; sysctl -qw net.ipv4.ip_forward=%d", 1-forward, forward))
		return err
	}
	return func(ctx context.Context) error { return set(ctx, "del", 0) }, set(ctx, "replace", 1)
}
