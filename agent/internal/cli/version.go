package cli

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
)

func (p *program) versionCommand() *cobra.Command {
	return plain(forPeople, "version", "show the version and the checksum of this program", "", func(context.Context) error { return p.showVersion() })
}

func (p *program) showVersion() error {
	digest, err := layout.FileDigest(layout.OwnExecutable)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "routingmesh-agent %s linux/%s sha256:%s\n", p.version, runtime.GOARCH, digest)
	return err
}
