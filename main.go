// terraform-provider-routingmesh turns Linux hosts into a routing mesh: a
// port published on one is open on all of them.
package main

import (
	"context"
	"flag"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/provider"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	var debug bool
	flag.BoolVar(&debug, "debug", false, "serve for a debugger; prints TF_REATTACH_PROVIDERS")
	flag.Parse()

	err := providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{
		Address: "registry.terraform.io/routingmesh/routingmesh",
		Debug:   debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}
