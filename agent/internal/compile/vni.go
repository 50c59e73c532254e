package compile

import (
	"fmt"
	"strings"

	"golang.org/x/net/bpf"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// overlayFrame matches the VXLAN frames of the cluster's overlay: UDP to the port, with the VNI.
// The port alone says too little, for another overlay of the host may share it
// (flannel, Swarm). xt_u32 could read the VNI as well, but RHEL 9 and 10 do not have
// it; xt_bpf is what Docker uses since (moby#44973).
func overlayFrame(rec *mesh.Record) string {
	return fmt.Sprintf("-p udp -m udp --dport %d -m bpf --bytecode %q", rec.Cluster.VXLANPort, vniProgram(rec.Cluster.VNI))
}

// vniProgram is a filter in the notation of iptables: it returns something for a UDP
// packet that holds a VXLAN header (RFC 7348) with the VNI. It starts at the IPv4
// header; of a packet that is too short it returns nothing.
func vniProgram(vni uint32) string {
	const (
		udpHeader  = 8
		vxlanFlags = 4
	)
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadMemShift{Off: 0}, // X is the length of the IPv4 header
		bpf.LoadIndirect{Off: udpHeader + vxlanFlags, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xffffff00}, // the last byte is reserved
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: vni << 8, SkipFalse: 1},
		bpf.RetConstant{Val: 1},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		panic(err) // no value of the VNI makes another program
	}
	steps := []string{fmt.Sprint(len(program))}
	for _, i := range program {
		steps = append(steps, fmt.Sprintf("%d %d %d %d", i.Op, i.Jt, i.Jf, i.K))
	}
	return strings.Join(steps, ",")
}
