//go:build kernel

package kernel_test

import (
	"os"
	"strings"
	"testing"
)

// A host with two uplinks and a rule by source, and the commands of the guide for it: what
// a client behind the second uplink's router asks is answered by that link.
func TestTwoUplinks_TheGuidesCommandsBringAnswersBack(t *testing.T) {
	a, _, c := newMesh(t, false)
	router := newMachine(t, "r")
	a.link("eth1", router)
	a.run(`ip addr add 198.51.100.10/24 dev eth1; ip link set eth1 up
ip route add default via 192.168.77.100 dev eth0
ip route add default via 198.51.100.1 dev eth1 table 200; ip rule add from 198.51.100.10 lookup 200
sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth1.rp_filter=1`)
	router.run(`ip addr add 198.51.100.1/24 dev eth0; ip link set eth0 up; ip addr add 203.0.113.5/32 dev lo
ip route replace 198.51.100.0/24 dev eth0 src 203.0.113.5`)
	a.answers("tcp", ":99")
	if got := router.ask("tcp", "198.51.100.10:99"); got != "a sees 203.0.113.5" {
		t.Fatalf("the host's own port: %s", got)
	}
	if got := router.ask("tcp", "198.51.100.10:8080"); strings.Contains(got, "sees") {
		t.Fatalf("a published port is answered without the commands: %s", got)
	}
	commands, err := os.ReadFile("testdata/uplinks.sh") // the guide's: TestUplinks_TheGuideHasTheTestedCommands
	if err != nil {
		t.Fatal(err)
	}
	a.run(string(commands))
	if got := router.ask("tcp", "198.51.100.10:8080"); got != "b sees 10.255.1.1" {
		t.Errorf("a published port by the second uplink: %s", got)
	}
	if got := c.ask("tcp", "192.168.77.1:8080"); got != "b sees 10.255.1.1" {
		t.Errorf("a published port by the first uplink: %s", got)
	}
}
