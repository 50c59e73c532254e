//go:build kernel

package kernel_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wire is a bridge that machines are plugged into: 192.168.77.0/24.
type wire struct{ *machine }

func newWire(t *testing.T) wire {
	t.Helper()
	w := wire{newMachine(t, "wire")}
	w.run("ip link add br0 type bridge; ip link set br0 up")
	return w
}

// plug gives a machine the link eth0 with an address on the wire.
func (w wire) plug(m *machine, a netip.Addr) {
	w.t.Helper()
	port := "p" + m.name
	w.link(port, m)
	w.run(fmt.Sprintf("ip link set %s master br0; ip link set %s up", port, port))
	m.run(fmt.Sprintf("ip addr add %s/24 dev eth0; ip link set eth0 up", a))
}

// link connects two machines: it is called so here, and eth0 there.
func (m *machine) link(name string, to *machine) {
	m.t.Helper()
	m.in(func() error {
		link := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "eth0", PeerNamespace: netlink.NsFd(int(to.ns))}
		link.Name = name
		return netlink.LinkAdd(link)
	})
}

// strict makes a host's firewall drop what nothing accepts, as many do.
func (m *machine) strict() {
	m.t.Helper()
	m.run(`
iptables -P INPUT DROP
iptables -P FORWARD DROP
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A INPUT -p icmp -j ACCEPT`)
}

// answers serves on a port: whoever connects is told by which name, and which
// address it seems to have; then whatever it sends comes back.
func (m *machine) answers(proto, listen string) {
	m.t.Helper()
	m.in(func() error {
		if proto == "udp" {
			return m.answersUDP(listen)
		}
		l, err := net.Listen("tcp4", listen)
		if err != nil {
			return err
		}
		m.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					fmt.Fprintf(c, "%s sees %s\n", m.name, host(c.RemoteAddr()))
					_, _ = io.Copy(c, c)
				}()
			}
		}()
		return nil
	})
}

// answersUDP leaves the source address of its answers to the kernel, as most
// UDP servers do.
func (m *machine) answersUDP(listen string) error {
	c, err := net.ListenPacket("udp4", listen)
	if err != nil {
		return err
	}
	m.t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(writerTo{c, from}, "%s sees %s\n", m.name, host(from))
		}
	}()
	return nil
}

// writerTo sends datagrams to one address.
type writerTo struct {
	net.PacketConn
	to net.Addr
}

func (w writerTo) Write(b []byte) (int, error) { return w.WriteTo(b, w.to) }

func host(a net.Addr) string {
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap().String()
}

// ask connects from the machine and returns the answer, or "refused". A large
// message both ways shows that no packet is too large for a link on the path.
func (m *machine) ask(proto, to string) string { return m.answerOf(proto, to, echo) }

// greeting is ask without the large message, which takes long where windows are small.
func (m *machine) greeting(proto, to string) string {
	return m.answerOf(proto, to, func(net.Conn, io.Reader) error { return nil })
}

func (m *machine) answerOf(proto, to string, then func(net.Conn, io.Reader) error) string {
	m.t.Helper()
	var answer string
	err := within(m.ns, func() (err error) {
		answer, err = exchange(proto, to, then)
		return err
	})
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	case err != nil:
		return err.Error()
	}
	return answer
}

func exchange(proto, to string, then func(net.Conn, io.Reader) error) (string, error) {
	c, err := net.DialTimeout(proto+"4", to, 10*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if proto == "udp" {
		if _, err := c.Write([]byte("who are you?")); err != nil {
			return "", err
		}
	}
	r := bufio.NewReader(c)
	answer, err := r.ReadString('\n')
	if err != nil || proto == "udp" {
		return strings.TrimSpace(answer), err
	}
	return strings.TrimSpace(answer), then(c, r)
}

// echo sends a megabyte and wants it back.
func echo(c net.Conn, r io.Reader) error {
	const size = 1 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, size))
		sent <- err
	}()
	n, err := io.Copy(io.Discard, io.LimitReader(r, size))
	if err == nil && n != size {
		err = fmt.Errorf("%d of %d bytes came back", n, size)
	}
	return errors.Join(err, <-sent)
}
