// Package tfcli finds the Terraform or OpenTofu that the demo and the tests run, and gets one where there is none.
package tfcli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
)

// Names are the commands that will do, the first that is there is taken.
var Names = []string{"terraform", "tofu"}

// TerraformVersion is fetched where there is neither command.
const TerraformVersion = "1.15.9"

// ErrNotFound says that no command of Names is on PATH.
var ErrNotFound = errors.New("neither terraform nor tofu is on PATH; make installs one before it runs anything that needs it")

// Find returns the path of the first of Names that lookPath knows.
func Find(lookPath func(string) (string, error)) (string, error) {
	for _, name := range Names {
		if path, err := lookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", ErrNotFound
}

// A Source puts terraform or tofu into a directory.
type Source struct {
	Name    string
	Install func(ctx context.Context, dir string) (path string, err error)
}

// Sources are tried in this order. The second is for networks that reach a Go module proxy and nothing else.
func Sources(log io.Writer) []Source {
	return []Source{
		{"Terraform " + TerraformVersion + " from releases.hashicorp.com", fetchTerraform},
		{"OpenTofu, built from source (some minutes)", func(ctx context.Context, dir string) (string, error) { return buildTofu(ctx, dir, log) }},
	}
}

// Ensure returns what Find finds; where that is nothing, the first of the sources that delivers does it.
func Ensure(ctx context.Context, lookPath func(string) (string, error), dir string, sources []Source, log io.Writer) (string, error) {
	if path, err := Find(lookPath); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	var failed []error
	for _, s := range sources {
		fmt.Fprintf(log, "  %s\n", s.Name)
		path, err := s.Install(ctx, dir)
		if err == nil {
			return path, nil
		}
		fmt.Fprintf(log, "  that did not work: %v\n", err)
		failed = append(failed, fmt.Errorf("%s: %w", s.Name, err))
	}
	return "", fmt.Errorf("neither terraform nor tofu is on PATH, and none could be fetched:\n%w", errors.Join(failed...))
}

// fetchTerraform checks what it fetches against HashiCorp's signature. It asks the site once: a network that does not
// reach it will not in a minute either.
func fetchTerraform(ctx context.Context, dir string) (string, error) {
	if err := reachable(ctx, "https://releases.hashicorp.com/terraform/index.json"); err != nil {
		return "", err
	}
	return (&releases.ExactVersion{
		Product:    product.Terraform,
		Version:    version.Must(version.NewVersion(TerraformVersion)),
		InstallDir: dir,
		Timeout:    5 * time.Minute,
	}).Install(ctx)
}

func reachable(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// buildTofu builds the OpenTofu that tools/tofu/go.mod names; its go.sum is what vouches for the source.
func buildTofu(ctx context.Context, dir string, log io.Writer) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tofu")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X github.com/opentofu/opentofu/version.dev=no", "-o", path, "github.com/opentofu/opentofu/cmd/tofu")
	cmd.Dir = filepath.Join("tools", "tofu")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = log, log
	return path, cmd.Run()
}
