package agentbin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadAgent(t *testing.T) {
	t.Parallel()
	program := []byte("\x7fELF and so on")
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write(program); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	dir := fstest.MapFS{
		"routingmesh-agent_linux_amd64.gz": {Data: gz.Bytes()},
		"routingmesh-agent_linux_arm.gz":   {Data: []byte("damaged")},
	}
	got, sum, err := readAgent(dir, "amd64")
	want := sha256.Sum256(program)
	if err != nil || sum != hex.EncodeToString(want[:]) || !bytes.Equal(got, gz.Bytes()) {
		t.Errorf("%x %s %v", got, sum, err)
	}
	if _, _, err := readAgent(dir, "arm64"); err == nil || !strings.Contains(err.Error(), "no agent for linux/arm64: build it with `make build`") {
		t.Errorf("got %v", err)
	}
	if _, _, err := readAgent(dir, "arm"); err == nil {
		t.Error("a damaged agent was accepted")
	}
}
