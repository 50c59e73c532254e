package provider

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// upstream is what the configuration of a load balancer in front of the nodes is
// made of: one published port of one service, on every node. Everything in it has
// been checked, so that it can stand in a configuration as it is.
type upstream struct {
	service string
	port    uint16
	servers []server
	// healthPort is where the nodes answer GET /healthz/SERVICE, 0 for nowhere.
	healthPort uint16
}

type server struct{ name, address string }

// name is that of the section. A service's name has no underscore, so no two
// upstreams with different services or ports have the same.
func (u *upstream) name() string { return fmt.Sprintf("%s_%d", u.service, u.port) }

// The order of the functions' arguments.
const (
	argService = iota
	argPort
	argNodes
	argHealthAddress
)

func newUpstream(service string, port int64, nodes map[string]string, healthAddress *string) (*upstream, *function.FuncError) {
	if err := mesh.CheckName(service); err != nil {
		return nil, badArgument(argService, "service: %w", err)
	}
	if err := mesh.Ports.Check("port", port); err != nil {
		return nil, badArgument(argPort, "%w", err)
	}
	servers, err := serversOf(nodes)
	if err != nil {
		return nil, badArgument(argNodes, "nodes: %w", err)
	}
	u := &upstream{service: service, port: uint16(port), servers: servers}
	if healthAddress != nil && *healthAddress != "" { // OpenTofu cannot pass null to a function
		if u.healthPort, err = healthPort(*healthAddress); err != nil {
			return nil, badArgument(argHealthAddress, "health_address: %w", err)
		}
	}
	return u, nil
}

func badArgument(at int64, format string, args ...any) *function.FuncError {
	return function.NewArgumentFuncError(at, sentence(fmt.Errorf(format, args...).Error()))
}

// serversOf has the nodes in the order of their names.
func serversOf(nodes map[string]string) ([]server, error) {
	if len(nodes) == 0 {
		return nil, fmt.Errorf("there is none: pass at least one node, as in { n1 = \"192.168.200.10\" }")
	}
	var servers []server
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		address := nodes[name]
		if err := mesh.CheckName(name); err != nil {
			return nil, err
		}
		if err := checkServerAddress(address); err != nil {
			return nil, fmt.Errorf("node %s: %w", name, err)
		}
		if twin := seen[address]; twin != "" {
			return nil, fmt.Errorf("%s and %s have the same address, %s: each node counts once", twin, name, address)
		}
		seen[address] = name
		servers = append(servers, server{name, address})
	}
	return servers, nil
}

// hostName is a DNS name in letters of any case; underscores occur in internal names.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

// checkServerAddress accepts an IPv4 address or a host's name. Published ports are
// open at IPv4 addresses only.
func checkServerAddress(s string) error {
	a, err := netip.ParseAddr(s)
	switch {
	case err == nil && a.Is4():
		return nil
	case err == nil:
		return fmt.Errorf("%q is an IPv6 address, and published ports are open at IPv4 addresses only", s)
	case len(s) > 253 || !hostName.MatchString(s) || isNumeric(s):
		return fmt.Errorf("%q is not an IPv4 address or a host name: write it without port, as in 192.168.200.10", s)
	}
	return nil
}

// isNumeric tells a mistyped address, which would be looked up as a name.
func isNumeric(s string) bool { return strings.Trim(s, "0123456789.") == "" }

// healthPort is the port of a cluster's health_address, at which a load balancer
// asks each node at the node's own address.
func healthPort(s string) (uint16, error) {
	listen, err := mesh.ListenAddress(s, netip.IPv4Unspecified())
	if err != nil {
		return 0, err
	}
	if !listen.Addr().IsUnspecified() {
		return 0, fmt.Errorf("%s is open at that one address, and a load balancer asks each node at the node's own: give the cluster health_address = \":%d\", or pass \"\" to check by connecting only", s, listen.Port())
	}
	return listen.Port(), nil
}

// haproxy is the backend section. A line of it that starts with spaces may follow.
func (u *upstream) haproxy() string {
	var b strings.Builder
	fmt.Fprintf(&b, "backend %s\n    balance leastconn\n", u.name())
	at := ""
	if u.healthPort != 0 {
		fmt.Fprintf(&b, "    option httpchk\n    http-check send meth GET uri /healthz/%s\n    http-check expect status 200\n", u.service)
		at = fmt.Sprintf(" port %d", u.healthPort)
	}
	fmt.Fprintf(&b, "    default-server check%s inter 2s fall 2 rise 2\n", at)
	for _, s := range u.servers {
		fmt.Fprintf(&b, "    server %s %s:%d\n", s.name, s.address, u.port)
	}
	return b.String()
}

// nginx is the upstream block. Open source nginx has no checks but those by its
// clients' connections, and NGINX Plus has them outside of the block.
func (u *upstream) nginx() string {
	var b strings.Builder
	if u.healthPort != 0 {
		fmt.Fprintf(&b, "# With NGINX Plus, write into the location that passes to it:\n#   health_check port=%d uri=/healthz/%s interval=2s fails=2 passes=2;\n", u.healthPort, u.service)
	}
	fmt.Fprintf(&b, "upstream %[1]s {\n    zone %[1]s 64k;\n    least_conn;\n", u.name())
	for _, s := range u.servers {
		fmt.Fprintf(&b, "    server %s:%d max_fails=2 fail_timeout=4s; # %s\n", s.address, u.port, s.name)
	}
	b.WriteString("}\n")
	return b.String()
}
