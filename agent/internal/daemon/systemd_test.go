package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
)

// TestFDStore: systemd is sent the socket itself, by name, and what to forget.
func TestFDStore(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	agenttest.Must(t, err)
	defer c.Close()
	agenttest.Must(t, fdStore{}.Keep("dns-udp", c)) // nobody to keep it
	agenttest.Must(t, fdStore{}.Drop("dns-udp"))

	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	agenttest.Must(t, err)
	defer systemd.Close()
	agenttest.Must(t, systemd.SetDeadline(time.Now().Add(20*time.Second)))
	t.Setenv("NOTIFY_SOCKET", path)
	agenttest.Must(t, fdStore{}.Keep("dns-udp", c))
	text, rights := make([]byte, 256), make([]byte, 256)
	n, m, _, _, err := systemd.ReadMsgUnix(text, rights)
	agenttest.Must(t, err)
	if got := string(text[:n]); got != "FDSTORE=1\nFDNAME=dns-udp\nFDPOLL=0" {
		t.Errorf("systemd heard %q", got)
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:m])
	agenttest.Must(t, err)
	if len(messages) != 1 {
		t.Fatalf("%d control messages", len(messages))
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	agenttest.Must(t, err)
	f := os.NewFile(uintptr(fds[0]), "stored")
	defer f.Close()
	stored, err := net.FilePacketConn(f)
	agenttest.Must(t, err)
	defer stored.Close()
	if len(fds) != 1 || stored.LocalAddr().String() != c.LocalAddr().String() {
		t.Errorf("systemd got %d descriptors, the first one at %s", len(fds), stored.LocalAddr())
	}
	agenttest.Must(t, fdStore{}.Drop("dns-udp"))
	if n, err := systemd.Read(text); err != nil || string(text[:n]) != "FDSTOREREMOVE=1\nFDNAME=dns-udp" {
		t.Errorf("systemd heard %q, %v", text[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", path+".none")
	if err := (fdStore{}).Keep("dns-udp", c); err == nil || !strings.Contains(err.Error(), unix.ENOENT.Error()) {
		t.Errorf("no systemd: %v", err)
	}
}
