package mesh

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func tcpCheck() *HealthCheck {
	return &HealthCheck{Type: CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: KeepConnections}
}

func webCheck() *HealthCheck {
	h := tcpCheck()
	h.Type, h.Path, h.Status = CheckHTTP, DefaultCheckPath, DefaultCheckStatus
	return h
}

func TestServiceBalanceRules(t *testing.T) {
	weight := func(w int) map[string]Endpoint { return map[string]Endpoint{"n2": {Node: "n2", Weight: &w}} }
	check := func(h *HealthCheck, change func(*HealthCheck)) *HealthCheck {
		change(h)
		return h
	}
	for name, c := range map[string]struct {
		service         Service
		attribute, text string
	}{
		"another scheduler":       {Service{Scheduler: "dh"}, "scheduler", "rr, wrr, lc, wlc, sh, mh, sed, nq"},
		"a weight too high":       {Service{Endpoints: weight(65536)}, "endpoints", `endpoints["n2"].weight must be 0–65535, not 65536`},
		"a weight below none":     {Service{Endpoints: weight(-1)}, "endpoints", "-1"},
		"a long drain":            {Service{DrainSeconds: 86401}, "drain_timeout", "24h"},
		"affinity for no time":    {Service{Affinity: &Affinity{PrefixLength: 32}}, "session_affinity", "1s–744h"},
		"affinity of everybody":   {Service{Affinity: &Affinity{TimeoutSeconds: 1}}, "session_affinity", "session_affinity.netmask must be 1–32, not 0"},
		"a check of another type": {Service{HealthCheck: check(tcpCheck(), func(h *HealthCheck) { h.Type = "exec" })}, "health_check", "health_check.type: "},
		"a path for tcp":          {Service{HealthCheck: check(tcpCheck(), func(h *HealthCheck) { h.Path = "/" })}, "health_check", "path needs the type http"},
		"a path that is none":     {Service{HealthCheck: check(webCheck(), func(h *HealthCheck) { h.Path = "x" })}, "health_check", "health_check.path: "},
		"a header in the path":    {Service{HealthCheck: check(webCheck(), func(h *HealthCheck) { h.Path = "/ HTTP/1.0\r\nX: y" })}, "health_check", "no spaces"},
		"a header in the host":    {Service{HealthCheck: check(webCheck(), func(h *HealthCheck) { h.Host = "a\r\nX: y" })}, "health_check", "health_check.host: "},
		"too often":               {Service{HealthCheck: check(tcpCheck(), func(h *HealthCheck) { h.IntervalMillis = 199 })}, "health_check", "200ms–1h"},
		"never unhealthy":         {Service{HealthCheck: check(tcpCheck(), func(h *HealthCheck) { h.Fall = 0 })}, "health_check", "health_check.fall must be 1–100, not 0"},
		"never healthy":           {Service{HealthCheck: check(tcpCheck(), func(h *HealthCheck) { h.Rise = 101 })}, "health_check", "health_check.rise must be 1–100, not 101"},
		"longer than the period":  {Service{HealthCheck: check(tcpCheck(), func(h *HealthCheck) { h.TimeoutMillis = 5001 })}, "health_check", "interval of 5s"},
		"too long for one":        {Service{HealthCheck: check(tcpCheck(), func(h *HealthCheck) { h.Fall, h.TimeoutMillis = 1, 2501 })}, "health_check", "no longer than 2.5s"},
		"no word for unhealthy":   {Service{HealthCheck: check(tcpCheck(), func(h *HealthCheck) { h.OnUnhealthy = "" })}, "health_check", "drain or cut"},
		"a status that is none":   {Service{HealthCheck: check(webCheck(), func(h *HealthCheck) { h.Status = "2xx" })}, "health_check", "200,204,300-399"},
	} {
		t.Run(name, func(t *testing.T) {
			r := demoRecord(t)
			c.service.Name = "web"
			wantRule(t, r.PutService(&c.service), c.attribute, c.text)
			r.Services["web"] = &c.service
			if err := r.Validate(); err == nil {
				t.Error("such a record from outside is taken")
			}
		})
	}
}

func TestPortBalanceRules(t *testing.T) {
	for name, c := range map[string]struct {
		change          func(*PublishedPort)
		attribute, text string
	}{
		"another locality":     {func(p *PublishedPort) { p.Locality = "near" }, "locality", "any, prefer_local or local_only"},
		"locality in host":     {func(p *PublishedPort) { p.Locality, p.Mode = PreferLocal, Host }, "locality", "host mode"},
		"one packet of tcp":    {func(p *PublishedPort) { p.OnePacket = true }, "one_packet", "for udp"},
		"the health address":   {func(p *PublishedPort) { p.Published = 10256 }, "published_port", "health_address"},
		"the metrics' address": {func(p *PublishedPort) { p.Published = 9100 }, "published_port", "metrics_address"},
	} {
		t.Run(name, func(t *testing.T) {
			r := demoRecord(t)
			r.Cluster.HealthAddress, r.Cluster.MetricsAddress = ":10256", "127.0.0.1:9100"
			p := PublishedPort{Service: "web", Published: 8081, Target: 80, Protocol: TCP, Mode: Ingress}
			c.change(&p)
			wantRule(t, r.PutPort(&p), c.attribute, c.text)
		})
	}
}

func TestClusterServingRules(t *testing.T) {
	for name, c := range map[string]struct {
		change          func(*Cluster)
		attribute, text string
	}{
		"a negative idle time":  {func(c *Cluster) { c.TCPIdleSeconds = -1 }, "tcp_idle_timeout", "1s–744h"},
		"a very long idle time": {func(c *Cluster) { c.UDPIdleSeconds = 32 * 24 * 3600 }, "udp_idle_timeout", "1s–744h"},
		"no port":               {func(c *Cluster) { c.HealthAddress = "0.0.0.0" }, "health_address", "want :PORT"},
		"a name":                {func(c *Cluster) { c.MetricsAddress = "localhost:9100" }, "metrics_address", "IPv4 address or nothing"},
		"one port for two":      {func(c *Cluster) { c.HealthAddress, c.MetricsAddress = ":9100", "127.0.0.1:9100" }, "metrics_address", "different ports"},
		"sshd's":                {func(c *Cluster) { c.HealthAddress = ":22" }, "health_address", "sshd"},
		"a node's SSH port":     {func(c *Cluster) { c.HealthAddress = ":2222" }, "health_address", "SSH port of node n1"},
		"a published port":      {func(c *Cluster) { c.HealthAddress = ":8080" }, "health_address", `published by service "web"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := demoRecord(t)
			r.Nodes["n1"].SSH.Port = 2222
			next := r.Cluster
			c.change(&next)
			wantRule(t, r.PutCluster(next), c.attribute, c.text)
		})
	}
}

// Two ways to say the default are one record, and a copy shares nothing.
func TestDefaultsAreLeftOut(t *testing.T) {
	plain, spelled := demoRecord(t), demoRecord(t)
	one := 1
	must(t, spelled.PutService(&Service{Name: "web", Scheduler: "rr", Endpoints: map[string]Endpoint{"n2": {Node: "n2", Weight: &one}, "n3": {Node: "n3"}}}))
	c := spelled.Cluster
	c.TCPIdleSeconds, c.UDPIdleSeconds = 7800, 300
	must(t, spelled.PutCluster(c))
	if spelled.Hash() != plain.Hash() {
		t.Error("the defaults, spelled out, make another record")
	}
	if plain.Cluster.TCPIdle() != DefaultTCPIdle || plain.Services["web"].SchedulerName() != "rr" || plain.Services["web"].Endpoints["n2"].Share() != 1 {
		t.Error("the defaults are not what is read")
	}
	must(t, plain.PutService(&Service{Name: "web", Affinity: &Affinity{1, 32}, HealthCheck: tcpCheck()}))
	next := plain.Next()
	next.Services["web"].Affinity.TimeoutSeconds, next.Services["web"].HealthCheck.Fall = 9, 9
	if plain.Services["web"].Affinity.TimeoutSeconds != 1 || plain.Services["web"].HealthCheck.Fall != 3 {
		t.Error("a change of the copy reached the original")
	}
}

func TestSSHIsNotWhereTheAgentListens(t *testing.T) {
	r := demoRecord(t)
	r.Cluster.MetricsAddress = ":2222"
	n := *r.Nodes["n1"]
	n.SSH.Port = 2222
	wantRule(t, r.PutNode(&n), "ssh", "metrics_address")
}

func TestAvailabilityIsOneOfTwo(t *testing.T) {
	r := demoRecord(t)
	n := *r.Nodes["n1"]
	n.Availability = AvailabilityDrain
	must(t, r.PutNode(&n))
	if r.Nodes["n1"].Serving() || !r.Nodes["n2"].Serving() {
		t.Error("n1 drains, and n2 serves")
	}
	n.Availability = "pause"
	wantRule(t, r.PutNode(&n), "availability", "active or drain")
}

// The last of Fall time-outs ends within Interval × Fall, however the first one
// lies.
func TestChecksFindASilentEndpointInTime(t *testing.T) {
	for _, h := range []HealthCheck{*tcpCheck(), {IntervalMillis: 1000, TimeoutMillis: 500, Fall: 1}, {IntervalMillis: 1000, TimeoutMillis: 1000, Fall: 2}, {IntervalMillis: 200, TimeoutMillis: 1, Fall: 100}} {
		worst := time.Duration(h.Fall)*h.Period() + h.Timeout() // it fell silent just after a check
		if bound := time.Duration(h.Fall) * h.Interval(); worst > bound || h.Period() < h.Interval()/2 {
			t.Errorf("%+v: %s after all, %s promised, checks every %s", h, worst, bound, h.Period())
		}
	}
}

func TestListenAddresses(t *testing.T) {
	underlay := netip.MustParseAddr("192.168.200.10")
	for s, want := range map[string]string{":10256": "192.168.200.10:10256", "0.0.0.0:1": "0.0.0.0:1", "127.0.0.1:65535": "127.0.0.1:65535"} {
		if got, err := ListenAddress(s, underlay); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", ":", ":0", ":65536", ":080", "10256", "[::]:80", "::1", "224.0.0.1:80", "1.2.3:80", ":80:80"} {
		if got, err := ListenAddress(s, underlay); err == nil {
			t.Errorf("%q was taken for %s", s, got)
		}
	}
}

func TestStatusCodes(t *testing.T) {
	codes, err := ParseStatusCodes("200, 204,300-399")
	must(t, err)
	for code, want := range map[int]bool{200: true, 201: false, 204: true, 299: false, 300: true, 399: true, 400: false} {
		if codes.Has(code) != want {
			t.Errorf("%d: %v", code, !want)
		}
	}
	for _, s := range []string{"", ",", "99", "600", "0200", "300-200", "200-", "-200", "200--300", "2xx"} {
		if _, err := ParseStatusCodes(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func FuzzParseStatusCodes(f *testing.F) {
	f.Add("200,204,300-399")
	f.Add("-")
	f.Fuzz(func(t *testing.T, s string) {
		codes, err := ParseStatusCodes(s)
		if err == nil && (len(codes) != strings.Count(s, ",")+1 || codes.Has(99) || codes.Has(600)) {
			t.Errorf("%q gives %v", s, codes)
		}
	})
}

func FuzzListenAddress(f *testing.F) {
	f.Add(":10256")
	f.Add("0.0.0.0:80")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ListenAddress(s, netip.MustParseAddr("10.0.0.1"))
		if err == nil && (a.Port() == 0 || !a.Addr().Is4()) {
			t.Errorf("%q gives %s", s, a)
		}
	})
}
