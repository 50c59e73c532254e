package tfcli_test

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/tfcli"
)

func path(installed ...string) func(string) (string, error) {
	return func(name string) (string, error) {
		if slices.Contains(installed, name) {
			return "/usr/bin/" + name, nil
		}
		return "", exec.ErrNotFound
	}
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	delivers := func(string) error { return nil }
	offline := func(name string) error { return errors.New(name + " is out of reach") }
	for name, c := range map[string]struct {
		installed []string
		install   func(source string) error
		want      string
		tried     []string
	}{
		"terraform before tofu":           {[]string{"terraform", "tofu"}, delivers, "/usr/bin/terraform", nil},
		"tofu where it is the only one":   {[]string{"tofu"}, delivers, "/usr/bin/tofu", nil},
		"neither: the first that is sent": {nil, delivers, "first/terraform", []string{"first"}},
		"neither, the first is out of reach": {nil, func(s string) error {
			if s == "first" {
				return offline(s)
			}
			return nil
		}, "second/terraform", []string{"first", "second"}},
		"nothing to be had": {nil, offline, "", []string{"first", "second"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tried []string
			source := func(s string) tfcli.Source {
				return tfcli.Source{Name: s, Install: func(context.Context, string) (string, error) {
					tried = append(tried, s)
					return s + "/terraform", c.install(s)
				}}
			}
			got, err := tfcli.Ensure(t.Context(), path(c.installed...), t.TempDir(), []tfcli.Source{source("first"), source("second")}, io.Discard)
			if !slices.Equal(tried, c.tried) {
				t.Errorf("tried %v, want %v", tried, c.tried)
			}
			if c.want == "" {
				for _, s := range c.tried {
					if err == nil || !strings.Contains(err.Error(), s+" is out of reach") {
						t.Errorf("error %v does not say what became of %s", err, s)
					}
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestFindNothing(t *testing.T) {
	t.Parallel()
	if _, err := tfcli.Find(path()); !errors.Is(err, tfcli.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
