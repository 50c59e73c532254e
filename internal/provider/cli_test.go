package provider

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hashicorp/go-version"
)

// cliVersion is the Terraform or OpenTofu that the tests run, and its version.
func cliVersion(t *testing.T) (name string, v *version.Version) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), os.Getenv("TF_ACC_TERRAFORM_PATH"), "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	name, rest, _ := strings.Cut(string(out), " v") // "OpenTofu v1.12.6\non linux_amd64"
	v, err = version.NewVersion(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return name, v.Core()
}

// Provider functions.
const functionsIn, functionsInTofu = "1.8", "1.7"

// never is the version of a CLI that does not know a feature.
const never = "999"

// needs skips a test of what the CLI at hand does not know; make test-matrix has others at hand.
func needs(t *testing.T, terraform, tofu string) {
	t.Helper()
	name, v := cliVersion(t)
	least := map[string]string{"Terraform": terraform, "OpenTofu": tofu}[name]
	if v.LessThan(version.Must(version.NewVersion(least))) {
		t.Skipf("%s %s: this needs Terraform %s or OpenTofu %s (%s: none)", name, v, terraform, tofu, never)
	}
}
