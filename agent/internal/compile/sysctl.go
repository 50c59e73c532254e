package compile

import "github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"

func sysctls(s state.State) {
	host := func(name, value string) { s.Put(state.Sysctl{NS: state.Host, Name: name, Value: value}) }
	mesh := func(name, value string) { s.Put(state.Sysctl{NS: state.Mesh, Name: name, Value: value}) }
	host("net.ipv4.ip_forward", "1")
	host("net.ipv4.conf."+state.HostLink+".route_localnet", "1") // 127.0.0.1 as a client
	host("net.ipv4.conf."+state.HostLink+".rp_filter", "2")      // host mode: clients keep their addresses
	mesh("net.ipv4.ip_forward", "1")
	for _, link := range []string{"all", "default", state.OverlayLink, state.MeshLink} {
		mesh("net.ipv4.conf."+link+".rp_filter", "0")
		mesh("net.ipv4.conf."+link+".send_redirects", "0")
	}
	mesh("net.ipv4.vs.conntrack", "1")                 // SNAT after IPVS
	mesh("net.ipv4.vs.expire_nodest_conn", "1")        // a client of a removed endpoint moves on at once
	mesh("net.ipv4.vs.expire_quiescent_template", "1") // the same with persistence
}
