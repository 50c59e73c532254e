//go:build lab

package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// peerPort is where endpoints answer with their host's name and their client's address.
const peerPort = 8086

func (l *lab) servePeer(hosts ...string) {
	config := fmt.Sprintf(`pid /tmp/peer-nginx.pid; error_log /dev/null; events {} http { access_log off; server { listen %d; return 200 "$hostname sees $remote_addr\n"; } }`, peerPort)
	for _, h := range hosts {
		l.run(h, fmt.Sprintf("printf %%s '%s' > /tmp/peer-nginx.conf && nginx -c /tmp/peer-nginx.conf", config))
		l.run(h, fmt.Sprintf("setsid python3 -c '%s' %d %s </dev/null >/dev/null 2>&1 & echo $! > /tmp/peer-udp.pid", udpServer, peerPort, h))
		l.t.Cleanup(func() {
			l.run(h, "nginx -c /tmp/peer-nginx.conf -s stop; rm -f /tmp/peer-nginx.conf; kill $(cat /tmp/peer-udp.pid); rm -f /tmp/peer-udp.pid")
		})
	}
}

// udpServer answers from whichever address the kernel chooses, as most do; udpClient prints
// one answer.
const (
	udpServer = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[1])))
while True:
    _, client = s.recvfrom(2048)
    s.sendto((sys.argv[2] + " sees " + client[0]).encode(), client)
`
	udpClient = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"who?")
print(s.recv(2048).decode())
`
)

// onePort has the client open one source port to every node at once, again and again, and
// prints what was wrong.
const onePort = `
import socket, sys
entries, port, client = sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3]
wrong = 0
for source in range(20000, 20100):
    open_ = []
    for entry in entries:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.settimeout(10)
        s.bind((client, source))
        s.connect((entry, port))
        open_.append(s)
    for entry, s in zip(entries, open_):
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    for entry, s in zip(entries, open_):
        answer = b""
        while True:
            part = s.recv(4096)
            if not part: break
            answer += part
        if ("sees " + client + "\n").encode() not in answer:
            wrong += 1
            print(source, entry, answer)
        s.close()
print("wrong:", wrong)
`

// TestAccLabClientAddress: endpoints see the client's own address through every node, and
// the entry node's again after a change in place.
func TestAccLabClientAddress(t *testing.T) {
	l := openLab(t)
	nodes := l.names()[:3]
	l.servePeer(nodes[1:]...)
	client := l.run("client", fmt.Sprintf("ip -4 -o route get %s | sed 's/.* src \\([0-9.]*\\).*/\\1/'", l.Nodes[nodes[0]].Address))
	target := fmt.Sprintf("target_port = %d", peerPort)
	ports := func(address string) string {
		more := []string{target, fmt.Sprintf("client_address = %q", address)}
		return l.config(published("http", "web", 8080, more...), published("udp", "web", 5354, append(more, `protocol = "udp"`)...))
	}
	seen := func(as func(entry string) string) func() {
		return func() {
			for _, entry := range nodes {
				want := fmt.Sprintf("%s sees %s %[3]s sees %[2]s", nodes[1], as(entry), nodes[2])
				if got := l.answers(entry, 8080); got != want {
					t.Errorf("tcp through %s: %q, want %q", entry, got, want)
				}
				udp := l.run("client", fmt.Sprintf("python3 -c '%s' %s 5354", udpClient, l.Nodes[entry].Address))
				if !strings.HasSuffix(udp, " sees "+as(entry)) {
					t.Errorf("udp through %s: %q, want %s", entry, udp, as(entry))
				}
			}
		}
	}
	meshAddress := func(entry string) string {
		return l.run(entry, "ip -4 -o route show dev rmesh0 scope link | cut -d' ' -f1")
	}
	again := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"routingmesh": providerserver.NewProtocol6WithError(New("lab")())},
		Steps: []resource.TestStep{
			{Config: ports("preserve")},
			{PreConfig: func() {
				seen(func(string) string { return client })()
				var entries []string
				for _, entry := range nodes {
					entries = append(entries, l.Nodes[entry].Address)
					if got := l.run(entry, "for a in 127.0.0.1 "+l.Nodes[nodes[1]].Address+"; do curl -sS -m 10 http://$a:8080/; done"); strings.Count(got, "sees 10.255.") != 2 {
						t.Errorf("a client on %s: %q", entry, got)
					}
					l.run(entry, "routingmesh-agent trace 8080/tcp && routingmesh-agent trace 5354/udp")
				}
				if got := l.run("client", fmt.Sprintf("python3 -c '%s' %s 8080 %s", onePort, strings.Join(entries, ","), client)); got != "wrong: 0" {
					t.Errorf("one port of the client through every node: %s", got)
				}
			}, Config: ports("preserve"), ConfigPlanChecks: again},
			{Config: ports("entry_node"), ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(thePort, update)}}},
			{PreConfig: seen(meshAddress), Config: ports("entry_node"), ConfigPlanChecks: again},
			{Config: ports("preserve")},
			{PreConfig: seen(func(string) string { return client }), Config: ports("preserve"), ConfigPlanChecks: again},
		},
		CheckDestroy: func(*terraform.State) error {
			for _, n := range nodes {
				if left := l.run(n, "ip rule | grep 10255; ip route show table local | grep '^local 24[0-3]'; iptables-save | grep -i -e routingmesh -e connmark; true"); left != "" {
					return fmt.Errorf("left on %s: %s", n, left)
				}
			}
			return nil
		},
	})
}
