package host

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// TestContainerResolvers: what a container has there is read, and nothing that its links lead
// to outside, that is not a file, or that is too large.
func TestContainerResolvers(t *testing.T) {
	const wanted = "nameserver 10.255.255.1\nnameserver 192.0.2.1\n"
	write := func(t *testing.T, path, content string) {
		t.Helper()
		put(t, os.MkdirAll(filepath.Dir(path), 0o755))
		put(t, os.WriteFile(path, []byte(content), 0o644))
	}
	for name, test := range map[string]struct {
		fill  func(t *testing.T, root string)
		start uint64
		want  []string
		fails string
	}{
		"a file":          {func(t *testing.T, root string) { write(t, root+"/etc/resolv.conf", wanted) }, 7, []string{"10.255.255.1", "192.0.2.1"}, ""},
		"another process": {func(t *testing.T, root string) { write(t, root+"/etc/resolv.conf", wanted) }, 8, nil, "has ended"},
		"no file":         {func(t *testing.T, root string) { put(t, os.MkdirAll(root+"/etc", 0o755)) }, 7, nil, "no such file"},
		"a link in it": {func(t *testing.T, root string) {
			write(t, root+"/run/resolv.conf", wanted)
			put(t, os.MkdirAll(root+"/etc", 0o755))
			put(t, os.Symlink("/run/resolv.conf", root+"/etc/resolv.conf"))
		}, 7, []string{"10.255.255.1", "192.0.2.1"}, ""},
		"a link out of it": {func(t *testing.T, root string) {
			write(t, filepath.Dir(root)+"/secret", wanted)
			put(t, os.MkdirAll(root+"/etc", 0o755))
			put(t, os.Symlink("../../secret", root+"/etc/resolv.conf"))
		}, 7, nil, "no such file"},
		"a pipe": {func(t *testing.T, root string) {
			put(t, os.MkdirAll(root+"/etc", 0o755))
			put(t, unix.Mkfifo(root+"/etc/resolv.conf", 0o644))
		}, 7, nil, "not a regular file"},
		"too large": {func(t *testing.T, root string) {
			write(t, root+"/etc/resolv.conf", wanted+strings.Repeat("#", maxResolvConf))
		}, 7, []string{"10.255.255.1", "192.0.2.1"}, "more than 65536 bytes"},
		"empty": {func(t *testing.T, root string) { write(t, root+"/etc/resolv.conf", "") }, 7, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			write(t, proc+"/42/stat", "42 (a b) S"+strings.Repeat(" 1", 18)+" 7 1 1\n")
			test.fill(t, proc+"/42/root")
			got, err := ContainerResolvers(context.Background(), proc, state.Process{PID: 42, Start: test.start})
			if failed := err != nil && test.fails != "" && strings.Contains(err.Error(), test.fails); failed != (err != nil) || failed != (test.fails != "") {
				t.Fatalf("%v, want %q", err, test.fails)
			}
			var texts []string
			for _, a := range got {
				texts = append(texts, a.String())
			}
			if err == nil && !slices.Equal(texts, test.want) {
				t.Errorf("%v, want %v", texts, test.want)
			}
		})
	}
}

func TestLeadToMesh(t *testing.T) {
	a := netip.MustParseAddr
	for _, test := range []struct {
		nameservers []netip.Addr
		want        bool
	}{
		{nil, false},
		{[]netip.Addr{a("10.255.255.1")}, true},
		{[]netip.Addr{a("127.0.0.11")}, true},
		{[]netip.Addr{a("192.0.2.1"), a("10.255.255.1")}, false},
		{[]netip.Addr{a("10.255.255.1"), a("192.0.2.1")}, true},
	} {
		if got := LeadToMesh(test.nameservers, a("10.255.255.1")); got != test.want {
			t.Errorf("%v: %t", test.nameservers, got)
		}
	}
}
