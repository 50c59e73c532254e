package sshdial

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const oddConfig = `CanonicalizeHostname yes
Include conf.d/none conf.d/*.conf
Match exec "/usr/local/bin/on-vpn %h"
  ProxyCommand vpn %h
Match final all
  User nobody
Match canonical host n1
  User nobody
Match user root host n1
  User nobody
Host n1
  HostName 10.0.0.1
  ProxyCommand none
  NotAKeyword whatever
Match host n2,n3
  User deploy
Match all
  Port 2201
Host old
  ProxyCommand ssh -q -W %h:%p jump@gate
Host vpn
  ProxyCommand vpn --to %h
Host both
  ProxyJump gate
  ProxyCommand vpn %h
`

// What the provider does not know in ~/.ssh/config is passed over, and said with
// file and line; the rest counts.
func TestUserConfig_UnknownParts_AreSaid(t *testing.T) {
	t.Parallel()
	around := home(t, map[string]string{
		".ssh/config":        "User first\n" + oddConfig + "Host x\n  User y\n",
		".ssh/conf.d/a.conf": "Match exec true\n  Port 1\nHost n4\n  Port 4444\n",
	})
	r, err := newRouter(Config{UseSSHConfig: true, KnownHosts: []string{}}, around)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"n1": "first@10.0.0.1:2201", "n2": "first@n2:2201", "n4": "first@n4:4444",
		"old": "first@old:2201 via jump@gate:2201", "both": "first@both:2201 via first@gate:2201",
	} {
		if ep, err := r.Host(host); err != nil || ep.Key() != want {
			t.Errorf("%v %v, want %s", ep, err, want)
		}
	}
	path := filepath.Join(around.home, ".ssh", "config")
	for _, part := range []string{
		path + " line 4: the block Match exec", path + " line 6: the block Match final all", path + " line 8: the block Match canonical",
		path + " line 10: the block Match user", "line 2: CanonicalizeHostname", "line 3: Include conf.d/none finds no file",
		filepath.Join(around.home, ".ssh/conf.d/a.conf") + " line 1: the block Match exec true",
	} {
		if !slices.ContainsFunc(r.Warnings(), func(w string) bool { return strings.Contains(w, part) }) {
			t.Errorf("it does not say %q: %q", part, r.Warnings())
		}
	}
	if len(r.Warnings()) != 7 {
		t.Errorf("it says %q", r.Warnings())
	}
}

// A ProxyCommand is a way that the provider does not go: it says so, unless
// another way is given.
func TestUserConfig_ProxyCommand_IsRefused(t *testing.T) {
	t.Parallel()
	around := home(t, map[string]string{".ssh/config": oddConfig})
	cfg := Config{UseSSHConfig: true, KnownHosts: []string{}}
	_, err := way(cfg, around, "vpn")
	if e, ok := errors.AsType[*ConfigError](err); !ok || e.Attribute != "use_ssh_config" || !strings.Contains(e.Detail, "ProxyCommand vpn --to %h for host vpn") {
		t.Errorf("it is %v", err)
	}
	cfg.ProxyJump = "vpn"
	if _, err := way(cfg, around, "vpn"); err == nil {
		t.Error("a host to go through has a ProxyCommand, and nothing is said")
	}
	cfg.ProxyJump = "gate"
	if _, err := way(cfg, around, "vpn"); err != nil {
		t.Errorf("proxy_jump is the way: %v", err)
	}
}

func TestUserConfig_IncludeInACircle_Ends(t *testing.T) {
	t.Parallel()
	around := home(t, map[string]string{".ssh/config": "Include config\nHost h\n  User u\n"})
	r, err := newRouter(Config{UseSSHConfig: true, KnownHosts: []string{}}, around)
	if err != nil || !strings.Contains(strings.Join(r.Warnings(), "\n"), "include each other") {
		t.Errorf("%v", err)
	}
}

// Whatever stands in the file, the provider starts, and reads nothing but what
// the user's own files say.
func FuzzUserConfig(f *testing.F) {
	for _, s := range []string{oddConfig, "Host [", "Match", "Include", "Include ~", "=", "Host \x00", "Port\t=22", "\"", "Match host", "Host !", "Include x\nInclude \\["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		around := surroundings{home: t.TempDir(), getenv: os.Getenv}
		if strings.Contains(content, "/") || strings.Contains(content, "..") {
			return // of this machine
		}
		if _, _, err := decodeConfig("config", content, around); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	})
}
