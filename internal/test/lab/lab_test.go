package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fixed is a lab as it is on any machine: with paths that are nobody's.
func fixed(t *testing.T, env map[string]string) *Lab {
	t.Helper()
	lab, err := newLab(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	lab.Root = "/src"
	if env["LAB_DIR"] == "" {
		lab.Dir = "/src/.lab"
	}
	return lab
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; UPDATE_GOLDEN=1 accepts):\n%s", name, d)
	}
}

func TestContractFiles(t *testing.T) {
	lab := fixed(t, map[string]string{"HOME": "/home/me"})
	tfvars, err := lab.tfvars()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "ssh_config", lab.sshConfig())
	golden(t, "lab.auto.tfvars.json", tfvars)
	golden(t, "terraformrc", lab.terraformrc())
	golden(t, "nodes", lab.nodesTable())
	golden(t, "on-node", lab.onNode())
}

func TestTwoLabsShareNothing(t *testing.T) {
	a := fixed(t, map[string]string{"LAB_DIR": "/tmp/a"})
	b := fixed(t, map[string]string{"LAB_DIR": "/tmp/b", "LAB_SSH_PORT": "2300", "LAB_NODES": "9"})
	seen := map[int]string{}
	for _, l := range []*Lab{a, b} {
		for _, h := range append(l.hosts(), l.machine()) {
			if other := seen[h.Port]; other != "" {
				t.Errorf("port %d is %s's and %s's", h.Port, other, h.Name)
			}
			seen[h.Port] = h.Name
		}
	}
	if a.cgroup() == b.cgroup() {
		t.Errorf("both labs have the cgroup %s", a.cgroup())
	}
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"LAB_NODES", "0", `LAB_NODES: "0" is no number from 1 to 9`},
		{"LAB_NODES", "three", `LAB_NODES: "three" is no number from 1 to 9`},
		{"LAB_SSH_PORT", "80", `LAB_SSH_PORT: "80" is no number from 1024 to 65000`},
		{"LAB_DRIVER", "docker", `LAB_DRIVER: "docker" is neither vm nor native`},
		{"LAB_ACCEL", "hvf", `LAB_ACCEL: "hvf" is neither kvm nor tcg`},
		{"LAB_DIR", "/my lab", "choose one without spaces"},
	} {
		_, err := newLab(func(k string) string { return map[string]string{c.name: c.value}[k] })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: got %v, want %q", c.name, c.value, err, c.want)
		}
	}
}

func TestHostNames(t *testing.T) {
	lab := fixed(t, map[string]string{"LAB_NODES": "2"})
	if h, err := lab.host("n2"); err != nil || h.Address != "192.168.200.11" || h.Port != 2202 {
		t.Errorf("n2: got %v, %v", h, err)
	}
	if _, err := lab.host("n3"); err == nil || !strings.Contains(err.Error(), "it has n1, n2, client") {
		t.Errorf("n3: got %v", err)
	}
}

func TestImageHash(t *testing.T) {
	plain := imageHash(packages(""), "a", "b")
	if got := imageHash(packages("curl  jq"), "a", "b"); got != plain {
		t.Error("packages that are there anyway, or twice, made another image")
	}
	if imageHash(packages("memcached varnish"), "a", "b") != imageHash(packages("varnish,memcached"), "a", "b") {
		t.Error("the order of the packages made another image")
	}
	for what, other := range map[string]string{
		"a package": imageHash(packages("memcached"), "a", "b"),
		"a script":  imageHash(packages(""), "a", "c"),
		"a border":  imageHash(packages(""), "ab", ""),
	} {
		if other == plain {
			t.Errorf("%s did not make another image", what)
		}
	}
}

func TestSourcesFrom(t *testing.T) {
	const by = "deb [signed-by=" + debianKeyring + "] "
	for _, c := range []struct {
		name, targets string
		want          []string
	}{
		{"bookworm with others' repositories", `Packages Debian bookworm main http://mirror/debian/
Packages Debian bookworm contrib http://mirror/debian/
Packages Debian bookworm-security main http://mirror/security/
Packages Debian bookworm-backports main http://mirror/debian/
Packages Docker bookworm stable https://docker/
Translations Debian bookworm main http://mirror/debian/
`, []string{by + "http://mirror/debian/ bookworm main", by + "http://mirror/security/ bookworm-security main"}},
		{"a newer Debian", "Packages Debian trixie main http://mirror/debian/\n", []string{
			by + "http://mirror/debian/ bookworm main",
			by + "http://mirror/debian/ bookworm-updates main",
			by + "http://deb.debian.org/debian-security bookworm-security main",
		}},
		{"Ubuntu", "Packages Ubuntu noble main http://archive/ubuntu/\n", []string{
			by + "http://deb.debian.org/debian bookworm main",
			by + "http://deb.debian.org/debian bookworm-updates main",
			by + "http://deb.debian.org/debian-security bookworm-security main",
		}},
	} {
		if d := cmp.Diff(c.want, sourcesFrom(c.targets)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

func TestRemoteScript(t *testing.T) {
	got := remoteScript("/tmp/d", "x.test", []string{"-test.run=it's", "-test.v"}, []string{"HOME=/", "TEST_A=b c"}, false)
	want := `mkdir /tmp/d && cd /tmp/d && tar -xzf - && { env 'TEST_A=b c' './x.test' '-test.run=it'\''s' '-test.v' </dev/null; rc=$?; cd /; rm -rf /tmp/d; exit $rc; }`
	encoded, found := strings.CutPrefix(got, `exec sh -c 'eval "$(echo `)
	encoded, found2 := strings.CutSuffix(encoded, ` | base64 -d)"'`)
	script, err := base64.StdEncoding.DecodeString(encoded)
	if !found || !found2 || err != nil {
		t.Fatalf("csh and fish must take it as it is, too: %s (%v)", got, err)
	}
	if d := cmp.Diff(want, string(script)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCoverProfile(t *testing.T) {
	args, local := coverProfile([]string{"-test.v", "-test.coverprofile=/b/c.out", "-test.gocoverdir=/b"})
	if d := cmp.Diff([]string{"-test.v", "-test.coverprofile=cover.out"}, args); d != "" || local != "/b/c.out" {
		t.Errorf("local %s (-want +got):\n%s", local, d)
	}
}

func TestOwnsOnlyOurs(t *testing.T) {
	lab := fixed(t, nil)
	if lab.owns(os.Getpid()) || lab.owns(1) {
		t.Error("took a stranger for a process of the lab")
	}
	lab.Dir = filepath.Dir(os.Args[0])
	if !lab.owns(os.Getpid()) {
		t.Error("did not know a process whose command line names the lab's folder")
	}
}
