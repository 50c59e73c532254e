// Command routingmesh-agent owns the routing mesh's kernel state on one host:
// it keeps the cluster's record, applies it, repairs it and says what differs.
// The Terraform provider uploads it and talks to it through dial-stdio.
package main

import (
	"os"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/cli"
)

// version is set by the linker: -X main.version=1.2.3.
var version = "dev"

func main() { os.Exit(cli.Main(version, os.Args[1:])) }
