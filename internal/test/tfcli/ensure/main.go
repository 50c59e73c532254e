// Command ensure prints the path of terraform or tofu; where there is neither it first puts one into the folder it is given.
// Run it in the root of the checkout.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/tfcli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: ensure FOLDER")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	path, err := tfcli.Ensure(ctx, exec.LookPath, os.Args[1], tfcli.Sources(os.Stderr), os.Stderr)
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "ensure:", err)
		os.Exit(1) //nolint:gocritic // stop is called above
	}
	fmt.Println(path)
}
