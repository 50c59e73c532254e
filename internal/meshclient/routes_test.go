package meshclient

import (
	"errors"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

func TestConfigErrors_Hosts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hosts []string
		says  string
	}{
		"no host":        {[]string{}, "at least one host"},
		"empty host":     {[]string{""}, "no SSH address"},
		"bad port":       {[]string{"h:0"}, "1–65535"},
		"the same twice": {[]string{"h", "root@h:22"}, "same host"},
	} {
		_, err := New(Config{Hosts: c.hosts, SSH: sshdial.Config{KnownHosts: []string{}}})
		e, ok := errors.AsType[*sshdial.ConfigError](err)
		if !ok || e.Attribute != "hosts" || !strings.Contains(e.Detail, c.says) {
			t.Errorf("%s: got %v, want hosts: …%s…", name, err, c.says)
		}
	}
}

func TestNodeRoute(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Hosts: []string{"192.0.2.1:2201"}, SSH: sshdial.Config{Port: 2201, KnownHosts: []string{}}})
	if err != nil {
		t.Fatal(err)
	}
	n := mesh.Node{Name: "n1", Address: mesh.DefaultAddressPool.Addr()}
	for want, s := range map[string]mesh.SSH{
		"root@10.255.0.0:2201":              {},
		"root@192.0.2.1:2201":               {Host: "192.0.2.1"},
		"u@h:9":                             {Host: "h", Port: 9, User: "u"},
		"root@10.255.0.0:2201 via j@b:9":    {BastionHost: "b", BastionPort: 9, BastionUser: "j"},
		"root@10.255.0.0:2201 via root@b:9": {BastionHost: "b:9"},
	} {
		n.SSH = s
		ep, err := c.nodeEndpoint(&n)
		if err != nil || ep.Key() != want {
			t.Errorf("%+v: %v %v, want %s", s, ep, err, want)
		}
	}
	for _, s := range []mesh.SSH{{Host: "a b"}, {HostKey: "x"}, {BastionHost: "@"}} {
		n.SSH = s
		_, err := c.nodeEndpoint(&n)
		if e, ok := errors.AsType[*mesh.Error](err); !ok || e.Attribute != "ssh" {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
