package provider

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain keeps the developer's own settings out of the tests, and takes
// OpenTofu where there is no Terraform.
func TestMain(m *testing.M) {
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "ROUTINGMESH_") {
			os.Unsetenv(name)
		}
	}
	set("TF_CLI_CONFIG_FILE", os.DevNull)
	set("CHECKPOINT_DISABLE", "1")
	if os.Getenv("TF_ACC_TERRAFORM_PATH") == "" {
		if cli, err := exec.LookPath("terraform"); err == nil {
			set("TF_ACC_TERRAFORM_PATH", cli)
		} else if cli, err := exec.LookPath("tofu"); err == nil {
			set("TF_ACC_TERRAFORM_PATH", cli)
			set("TF_ACC_PROVIDER_HOST", "registry.opentofu.org")
		}
	}
	os.Exit(m.Run())
}

func set(name, value string) {
	if err := os.Setenv(name, value); err != nil {
		panic(err)
	}
}
