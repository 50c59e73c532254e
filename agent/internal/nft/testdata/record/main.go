// Record writes the nf_tables rules of this network namespace as a recording.
package main

import (
	"encoding/json"
	"os"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/nft"
)

func main() {
	recording, err := nft.Record()
	if err == nil {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", " ")
		err = encoder.Encode(recording)
	}
	if err != nil {
		panic(err)
	}
}
