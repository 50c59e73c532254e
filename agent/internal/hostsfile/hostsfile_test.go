package hostsfile

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var must = agenttest.Must

// record has the service web in a network whose members are the processes of n1.
func record(t *testing.T) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("4f6e", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	for i, name := range []string{"n1", "n2"} {
		must(t, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}))
	}
	must(t, rec.PutNetwork(&mesh.Network{Name: "back", Hosts: []string{"n1"}}))
	must(t, rec.PutService(&mesh.Service{Name: "web", Networks: map[string]mesh.Membership{"back": {}}, Endpoints: map[string]mesh.Endpoint{}}))
	return rec
}

const original = "127.0.0.1 localhost\n# the end"

// file is one with the original content.
func file(t *testing.T) *File {
	t.Helper()
	f := New(filepath.Join(t.TempDir(), "hosts"))
	f.hostname = func() (string, error) { return "n1", nil }
	must(t, os.WriteFile(f.path, []byte(original), 0o640))
	must(t, os.Chmod(f.path, 0o640))
	return f
}

func (f *File) content(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(f.path)
	must(t, err)
	return string(content)
}

// expect says how the file is to be found, and that a repair leaves nothing to say.
func expect(t *testing.T, f *File, fault string) {
	t.Helper()
	got := f.Check()
	if got.Path != f.path || !strings.Contains(got.Fault, fault) || (fault == "") != (got.Fault == "") {
		t.Errorf("%+v, want %q", got, fault)
	}
	must(t, f.Repair(t.Context()))
	if got := f.Check(); got.Fault != "" {
		t.Errorf("after a repair: %+v", got)
	}
}

// TestFile_Follows the record, is repaired, and is in the end what it was.
func TestFile_Follows(t *testing.T) {
	f, rec := file(t), record(t)
	expect(t, f, "")
	f.Keep(rec, "n2")
	expect(t, f, "") // no member
	f.Keep(rec, "n1")
	expect(t, f, "does not have the names")
	if got := f.content(t); !strings.HasPrefix(got, original+"\n"+begin) || !strings.Contains(got, "\n10.255.255.2\tweb.demo.internal web\n") {
		t.Errorf("written:\n%s", got)
	}
	var st unix.Stat_t
	must(t, unix.Stat(f.path, &st))
	if st.Mode&0o7777 != 0o640 {
		t.Errorf("its mode is %o", st.Mode)
	}
	must(t, os.WriteFile(f.path, []byte(strings.Replace(f.content(t), "10.255.255.2", "10.255.255.9", 1)), 0o640))
	expect(t, f, "has other names")
	if !strings.Contains(f.content(t), "10.255.255.2\tweb") {
		t.Error("what somebody has edited stays")
	}
	must(t, rec.PutService(&mesh.Service{Name: "api", Networks: map[string]mesh.Membership{"back": {}}, Endpoints: map[string]mesh.Endpoint{}}))
	f.Keep(rec, "n1")
	expect(t, f, "has other names")
	off := *rec
	off.Cluster.HostDNS = mesh.HostDNSOff
	f.Keep(&off, "n1")
	expect(t, f, "still has names")
	if got := f.content(t); got != original {
		t.Errorf("in the end:\n%q", got)
	}
	if left, err := os.ReadDir(filepath.Dir(f.path)); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

func TestFile_Leave(t *testing.T) {
	f := file(t)
	if n, err := f.Leave(t.Context()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	f.Keep(record(t), "n1")
	must(t, f.Repair(t.Context()))
	// By the program that uninstalls, which knows no record.
	if n, err := New(f.path).Leave(t.Context()); n != 1 || err != nil || f.content(t) != original {
		t.Errorf("%d, %v: %q", n, err, f.content(t))
	}
	must(t, os.WriteFile(f.path, []byte(original+"\n"+begin+"\n1.2.3.4 mine\n"), 0o640))
	if _, err := New(f.path).Leave(t.Context()); err == nil || !strings.Contains(err.Error(), "Remove the lines") {
		t.Errorf("a block without an end: %v", err)
	}
	must(t, os.Remove(f.path))
	if n, err := New(f.path).Leave(t.Context()); n != 0 || err != nil {
		t.Errorf("no file: %d, %v", n, err)
	}
}

// TestFile_Obstacles: a file that is not for us to replace is a warning, and no fault that an
// apply would fail with.
func TestFile_Obstacles(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, f *File)
		want   string
	}{
		"a link": {func(t *testing.T, f *File) {
			must(t, os.Rename(f.path, f.path+".real"))
			must(t, os.Symlink("hosts.real", f.path))
		}, "is a link to another file"},
		"none":          {func(t *testing.T, f *File) { must(t, os.Remove(f.path)) }, "cannot be read"},
		"a folder":      {func(t *testing.T, f *File) { must(t, os.Remove(f.path)); must(t, os.Mkdir(f.path, 0o755)) }, "cannot be read"},
		"a lonely mark": {func(t *testing.T, f *File) { must(t, os.WriteFile(f.path, []byte(end), 0o644)) }, "cannot be told from the rest"},
	} {
		t.Run(name, func(t *testing.T) {
			f := file(t)
			f.Keep(record(t), "n2")
			if w := f.Warnings(); len(w) != 0 {
				t.Errorf("nobody misses it: %v", w)
			}
			tt.change(t, f)
			f.Keep(record(t), "n1")
			expect(t, f, "")
			w := f.Warnings()
			if len(w) != 1 || w[0].Code != mesh.WarnNames || w[0].Object != mesh.NodeRef("n1") || !strings.Contains(w[0].Text, tt.want) || !strings.Contains(w[0].Text, "do not find services by name") {
				t.Errorf("warnings: %+v", w)
			}
			if info, err := os.Lstat(f.path); err == nil && name == "a link" && info.Mode()&os.ModeSymlink == 0 {
				t.Error("the link was replaced")
			}
		})
	}
}
