package meshclient_test

import (
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// No error and no log line has a secret, whatever goes wrong.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	const password, passphrase, bastionPassword = "hunter2-password", "hunter2-passphrase", "hunter2-bastion"
	var said journal
	note := func(err error) {
		if err != nil {
			said.log(t.Context(), err.Error(), nil)
		}
	}
	for _, change := range []func(*meshclient.Config){
		func(*meshclient.Config) {},
		func(c *meshclient.Config) { c.SSH.PrivateKey = c.SSH.PrivateKey[:200] },
		func(c *meshclient.Config) { c.SSH.PrivateKey = "not a key: " + password },
		func(c *meshclient.Config) { c.SSH.Certificate = "garbage " + password },
		func(c *meshclient.Config) { c.SSH.HostKeyPolicy = "strict" },
		func(c *meshclient.Config) { c.SSH.Bastion.Host = f.Node("n1").Addr() },
		func(c *meshclient.Config) { c.SSH.Bastion.PrivateKey = c.SSH.PrivateKey[100:] },
		func(c *meshclient.Config) { c.SSH.User = "deploy" },
	} {
		cfg := f.ClientConfig()
		cfg.Log, cfg.SSH.Timeout = said.log, tired
		cfg.SSH.Password, cfg.SSH.Passphrase, cfg.SSH.Bastion.Password = password, passphrase, bastionPassword
		change(&cfg)
		c, err := meshclient.New(cfg)
		if err != nil {
			note(err)
			continue
		}
		_, err = c.PutPort(deadline(t), "demo", port(8000), false)
		note(err)
		f.Node("n2").SetLogin(meshtest.Login{Password: "another"})
		c.Close()
		c, _ = meshclient.New(cfg)
		_, err = c.Snapshot(deadline(t))
		note(err)
		_, err = c.PutNode(deadline(t), "demo", f.Node("n2").MeshNode(), false)
		note(err)
		c.Close()
	}
	body := strings.Split(f.PrivateKey, "\n")[2]
	for _, secret := range []string{password, passphrase, bastionPassword, body} {
		if strings.Contains(said.text(), secret) {
			t.Errorf("%q was said", secret)
		}
	}
	if said.text() == "" {
		t.Error("nothing was said at all")
	}
}
