package sshdial

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func home(t *testing.T, files map[string]string) surroundings {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return surroundings{home: dir, getenv: func(string) string { return "" }}
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// way is the endpoint of a host.
func way(cfg Config, around surroundings, host string) (*Endpoint, error) {
	r, err := newRouter(cfg, around)
	if err != nil {
		return nil, err
	}
	return r.Host(host)
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	encrypted := testdata(t, "encrypted_ed25519")
	yes := true
	for name, c := range map[string]struct {
		cfg       Config
		attribute string
		says      string
	}{
		"policy":             {Config{HostKeyPolicy: "ask"}, "host_key_policy", "strict, accept-new or insecure"},
		"a file's name":      {Config{PrivateKey: "~/.ssh/id_ed25519"}, "private_key", "file("},
		"cut off key":        {Config{PrivateKey: encrypted[:100]}, "private_key", "cannot be read"},
		"encrypted":          {Config{PrivateKey: encrypted}, "private_key", "set passphrase"},
		"wrong passphrase":   {Config{PrivateKey: encrypted, Passphrase: "no"}, "private_key", "passphrase does not open"},
		"bastion encrypted":  {Config{Bastion: BastionConfig{PrivateKey: encrypted}}, "bastion.private_key", "unencrypted key"},
		"no certificate":     {Config{Certificate: "x"}, "certificate", "-cert.pub"},
		"certificate is key": {Config{Certificate: someKey}, "certificate", "plain public key"},
		"host_key":           {Config{HostKey: "SHA256:abc"}, "host_key", "TYPE BASE64"},
		"bastion.host_key":   {Config{Bastion: BastionConfig{HostKey: "x"}}, "bastion.host_key", "TYPE BASE64"},
		"bastion.host":       {Config{Bastion: BastionConfig{Host: "a b"}}, "bastion.host", "name or an address"},
		"known_hosts":        {Config{KnownHosts: []string{"/none/such"}}, "known_hosts", "/none/such"},
		"both ways":          {Config{Bastion: BastionConfig{Host: "b"}, ProxyJump: "c"}, "proxy_jump", "keep one"},
		"proxy_jump":         {Config{ProxyJump: "a,,b"}, "proxy_jump", "no SSH address"},
		"agent without one":  {Config{Agent: &yes}, "agent", "SSH_AUTH_SOCK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := way(c.cfg, home(t, nil), "192.0.2.1")
			e, ok := errors.AsType[*ConfigError](err)
			if !ok || e.Attribute != c.attribute || !strings.Contains(e.Detail, c.says) {
				t.Errorf("got %v, want %s: …%s…", err, c.attribute, c.says)
			}
		})
	}
	if _, err := way(Config{PrivateKey: encrypted, Passphrase: "opens it"}, home(t, nil), "h"); err != nil {
		t.Error(err)
	}
}

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5GXQGd9KJ0r9Jw5XeS5Z5K0tBMuFjQG7mM0m4mB3qH"

func TestRoutes(t *testing.T) {
	t.Parallel()
	around := home(t, map[string]string{".ssh/config": `
Host n1
  HostName 10.0.0.1
  Port 2201
  User deploy
  ProxyJump outer,gate
Host gate
  HostName 10.9.9.9
  User jump
Host round
  ProxyJump about
Host about
  ProxyJump round
`})
	plain := Config{}
	for name, c := range map[string]struct {
		ssh  Config
		host string
		want string
	}{
		"defaults":             {plain, "192.0.2.1", "root@192.0.2.1:22"},
		"port of its own":      {Config{Port: 2222}, "192.0.2.1:22", "root@192.0.2.1:22"},
		"provider's":           {Config{Port: 2222, User: "u"}, "192.0.2.1", "u@192.0.2.1:2222"},
		"user of its own":      {Config{User: "u"}, "a@192.0.2.1", "a@192.0.2.1:22"},
		"IPv6":                 {plain, "2001:db8::1", "root@[2001:db8::1]:22"},
		"bastion":              {Config{User: "u", Port: 2222, Bastion: BastionConfig{Host: "b"}}, "h", "u@h:2222 via u@b:22"},
		"bastion's user":       {Config{Bastion: BastionConfig{Host: "b", User: "j", Port: 23}}, "h", "root@h:22 via j@b:23"},
		"proxy_jump":           {Config{ProxyJump: "a@b:23,c"}, "h", "root@h:22 via root@c:22 via a@b:23"},
		"ssh_config":           {Config{UseSSHConfig: true}, "n1", "deploy@10.0.0.1:2201 via jump@10.9.9.9:22 via root@outer:22"},
		"ssh_config, but user": {Config{UseSSHConfig: true, User: "u"}, "a@n1:22", "a@10.0.0.1:22 via jump@10.9.9.9:22 via u@outer:22"},
		"bastion wins":         {Config{UseSSHConfig: true, Bastion: BastionConfig{Host: "gate"}}, "n1", "deploy@10.0.0.1:2201 via jump@10.9.9.9:22"},
		"not asked to read it": {plain, "n1", "root@n1:22"},
	} {
		c.ssh.KnownHosts = []string{}
		ep, err := way(c.ssh, around, c.host)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := ep.Key(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	_, err := way(Config{UseSSHConfig: true}, around, "round")
	if err == nil || !strings.Contains(err.Error(), "lead back") {
		t.Errorf("a ProxyJump in a circle: %v", err)
	}
}

func TestUserConfigFiles(t *testing.T) {
	t.Parallel()
	encrypted := testdata(t, "encrypted_ed25519")
	around := home(t, map[string]string{
		".ssh/config":      "Host h\n  IdentityFile ~/.ssh/mine\n  UserKnownHostsFile ~/.ssh/hosts ~/.ssh/none\n",
		".ssh/mine":        encrypted,
		".ssh/id_ed25519":  encrypted,
		".ssh/hosts":       "h " + someKey + "\n",
		".ssh/known_hosts": "other " + someKey + "\n",
	})
	r, err := newRouter(Config{UseSSHConfig: true, Passphrase: "opens it"}, around)
	if err != nil {
		t.Fatal(err)
	}
	key, err := parseHostKey(someKey)
	if err != nil {
		t.Fatal(err)
	}
	for host, source := range map[string]string{"h": "~/.ssh/mine", "other": "~/.ssh/id_ed25519"} {
		ep, err := r.Host(host)
		if err != nil {
			t.Fatal(err)
		}
		if len(ep.login.keys) != 1 || ep.login.keys[0].source != source {
			t.Errorf("%s logs in with %v", ep.Name, ep.login.keys)
		}
		if _, err := ep.knownHosts.check(ep.Address(), key); err != nil {
			t.Errorf("%s: %v", ep.Name, err)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"h", "h:22", "u@h:22", "::1", "[::1]:22", "u@[fe80::1]", "a@b@c", "h:", "[h]", ":22", "h:99999", "-h", "a,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTarget(s)
		if err != nil {
			if got != (target{}) || !strings.Contains(err.Error(), "no SSH address") {
				t.Errorf("%q: %+v, %v", s, got, err)
			}
			return
		}
		again, err := parseTarget(got.String())
		if err != nil || again != got {
			t.Errorf("%q is %+v, written as %q it is %+v, %v", s, got, got.String(), again, err)
		}
		if strings.ContainsAny(got.host, " /@,\n") || got.host[0] == '-' {
			t.Errorf("%q gives the host %q", s, got.host)
		}
	})
}

func FuzzParseHostKey(f *testing.F) {
	for _, s := range []string{someKey, someKey + " comment", "h " + someKey, someKey + "\n" + someKey, "ssh-rsa AAAA", "", "command=\"x\" " + someKey} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := parseHostKey(s)
		if err != nil {
			return
		}
		again, err := parseHostKey(authorizedKey(key))
		if err != nil || !sameKey(key, again) {
			t.Errorf("%q is not the key that it is written as, %q: %v", s, authorizedKey(key), err)
		}
		if !slices.Contains(strings.Fields(s), key.Type()) {
			t.Errorf("%q is read as a key of type %s", s, key.Type())
		}
	})
}

// The machine's known_hosts counts beside the user's, and beside files that are configured.
func TestMachinesKnownHosts(t *testing.T) {
	t.Parallel()
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFOjkMGT9Gx4dmDhAUcBPONaSLJ0Y2jFqkkgcRqWEcsv"
	around := home(t, map[string]string{".ssh/known_hosts": "a " + key + "\n", "machine": "b " + key + "\n", "configured": "c " + key + "\n"})
	around.machineKnownHosts = filepath.Join(around.home, "machine")
	for _, c := range []struct {
		configured []string
		knows      []string
	}{
		{nil, []string{"a", "b"}},
		{[]string{"~/configured"}, []string{"b", "c"}},
	} {
		var knows []string
		for _, host := range []string{"a", "b", "c"} {
			ep, err := way(Config{KnownHosts: c.configured}, around, host)
			if err != nil {
				t.Fatal(err)
			}
			if ep.knownHosts.knows(ep.Address()) {
				knows = append(knows, host)
			}
		}
		if !slices.Equal(knows, c.knows) {
			t.Errorf("%v: known are %v, want %v", c.configured, knows, c.knows)
		}
	}
}
