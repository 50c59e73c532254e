package kernel

import (
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// Whatever comes from a descriptor, an event is taken or left; and all of it is
// read.
func FuzzEvents(f *testing.F) {
	f.Add([]byte{16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{40, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 32, 0, 0, 254, 2, 0, 1, 0, 0, 0, 0}, 12, 0, 1, 0, 10, 255, 0, 1))
	f.Add(append(make([]byte, 12), 16, 0, 0, 0, 'r', 'o', 'u', 't', 'i', 'n', 'g', 'm', 'e', 's', 'h', 0, 0, 0, 0, 0))
	f.Fuzz(func(_ *testing.T, b []byte) {
		w := &Watch{kernel: &Kernel{}, wake: make(chan struct{}, 1)}
		e := &events{watch: w, links: map[string]uint32{}, closed: true}
		for m := range nlmsg.Messages(b) {
			w.hostMessage(e, m)
			w.meshMessage(e, m)
		}
		w.folderEvents(e, b)
		select {
		case <-w.wake:
		default:
		}
	})
}
