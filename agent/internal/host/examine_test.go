package host

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestPreflightOfAPoolWithTheHostsResolver(t *testing.T) {
	rec := cluster(t)
	for file, content := range map[string]string{
		"/etc/resolv.conf":                 "# resolver\nnameserver 192.0.2.53\nnameserver 198.18.255.254\noptions edns0\n",
		"/run/systemd/resolve/resolv.conf": "nameserver fe80::1%eth0\nnameserver\nnameserver 198.18.0.1",
		"/etc/other.conf":                  "nameserver 198.18.0.1\n",
	} {
		root := t.TempDir()
		put(t, os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o755))
		put(t, os.WriteFile(filepath.Join(root, file), []byte(content), 0o644))
		var texts string
		for _, p := range (&Host{Proc: fakeProc(t), Root: root}).Preflight(t.Context(), nil, rec, "n1") {
			texts += p.Object.String() + " " + p.Text
		}
		want := "(" + file + ") in it: the host would find no name any more"
		if file == "/etc/other.conf" && texts != "" || file != "/etc/other.conf" && !strings.Contains(texts, want) {
			t.Errorf("%s: %q", file, texts)
		}
	}
}

func TestOtherVXLANDevicesOnThePort(t *testing.T) {
	rec := cluster(t)
	device := func(vni int, flow, gbp bool) *netlink.Vxlan {
		v := &netlink.Vxlan{VxlanId: vni, Port: int(rec.Cluster.VXLANPort), FlowBased: flow, GBP: gbp}
		v.Name = "vxlan9"
		return v
	}
	for want, v := range map[string]*netlink.Vxlan{
		"already uses VNI 5000001 on port 4788":    device(5_000_001, false, false),
		"has UDP port 4788 for itself":             device(0, true, false),
		"group policies), so the overlay's cannot": device(7, false, true),
		"": device(7, false, false),
	} {
		c := &check{next: rec, self: rec.Nodes["n1"]}
		c.sharedPort(v)
		if want == "" && (len(c.problems) != 0 || len(c.notes) != 1) || want != "" && (len(c.problems) != 1 || !strings.Contains(c.problems[0].Text, want)) {
			t.Errorf("%q: %+v %q", want, c.problems, c.notes)
		}
	}
}

func TestExamine(t *testing.T) {
	h := &Host{Proc: fakeProc(t), Root: t.TempDir(), Requirements: func(context.Context) []string { return []string{"The host lacks ip_vs."} }}
	rec := withPorts(t, "n2", []mesh.PublishedPort{{Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}})
	rec.Cluster.MTU = 576 // fits any link
	var got []string
	for _, f := range h.Examine(t.Context(), rec, "n1") {
		got = append(got, fmt.Sprintf("%s: %d", f.Check, len(f.Problems)))
	}
	if want := "[requirements: 1 names: 0 address: 0 underlay MTU: 0 address pool: 0 VXLAN port: 0 published ports: 1 saved rules: 0]"; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, rec := range map[string]*mesh.Record{"no record": nil, "no node": rec} {
		if f := h.Examine(t.Context(), rec, ""); len(f) != 1 || f[0].Problems[0] != "The host lacks ip_vs." {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestALinkThatBecameSmallerThanTheOverlayNeeds(t *testing.T) {
	rec := cluster(t)
	rec.Cluster.MTU = 65_000
	for _, f := range (&Host{Proc: fakeProc(t)}).Examine(t.Context(), rec, "n1") {
		if f.Check == "underlay MTU" && (len(f.Problems) != 1 || !strings.Contains(f.Problems[0], "the overlay's mtu 65000 needs 65050")) {
			t.Errorf("%+v", f)
		}
	}
}

func TestListening(t *testing.T) {
	h := &Host{Proc: fakeProc(t)}
	for want, at := range map[string]string{
		"[nginx (pid 812, nginx: master process /usr/sbin/nginx) on 192.168.200.10:8080]": "192.168.200.10",
		"[]": "10.255.0.2",
	} {
		who, err := h.Listening(mesh.PortKey{Port: 8080, Protocol: mesh.TCP}, netip.MustParseAddr(at))
		if err != nil || fmt.Sprint(who) != want {
			t.Errorf("%s: %s, %v", at, who, err)
		}
	}
	if who, err := h.Listening(mesh.PortKey{Port: 53, Protocol: mesh.UDP}, netip.MustParseAddr("10.255.0.2")); err != nil || len(who) != 1 {
		t.Errorf("0.0.0.0: %s, %v", who, err)
	}
}

func FuzzParseResolvers(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nsearch a b\n")
	f.Fuzz(func(t *testing.T, content string) {
		for _, a := range ParseResolvers(content) {
			if !a.IsValid() {
				t.Errorf("%q: %s", content, a)
			}
		}
	})
}
