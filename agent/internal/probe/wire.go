package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func readFrames(f *os.File, take func([]byte)) error {
	buf := make([]byte, 256)
	for {
		n, err := f.Read(buf)
		if interrupted(err) {
			return nil
		}
		if err == nil {
			take(buf[:n])
		} else if !errors.Is(err, unix.ENETDOWN) { // a link that went down
			return fmt.Errorf("listen on the host's links: %w", err)
		}
	}
}

// listenFrames opens a packet socket on all links. ETH_P_ALL, not ETH_P_IP: the
// latter sees packets only after tc and nftables' ingress hook.
func listenFrames(port uint16, vni uint32, to netip.Addr) (*os.File, error) {
	filter, err := frameFilter(port, vni, to)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // nothing arrives before the bind
	if err != nil {
		return nil, fmt.Errorf("listen on the host's links: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on the host's links: %w", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "packet socket"), nil
}

// frameFilter takes from the host's traffic what parseFrame understands, and of
// that only what carries ICMP, so that a busy overlay costs nothing. The packet
// starts with its IPv4 header (SOCK_DGRAM).
func frameFilter(port uint16, vni uint32, to netip.Addr) ([]unix.SockFilter, error) {
	const (
		snapLength = 128
		fragment   = 0x1fff
		macPrefix  = 0x0252
		vniWord    = udpHeader + 4
		innerMAC   = udpHeader + vxlanHeader + 6
		innerProto = udpHeader + vxlanHeader + etherHeader + 9
	)
	address := to.As4()
	steps := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING},
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP},
		bpf.LoadAbsolute{Off: 16, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(address[:])},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: fragment},
		bpf.LoadMemShift{Off: 0}, // X: the length of the outer IPv4 header
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port)},
		bpf.LoadIndirect{Off: vniWord, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 8},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: vni},
		bpf.LoadIndirect{Off: innerMAC, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: macPrefix},
		bpf.LoadIndirect{Off: innerProto, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMP},
		bpf.RetConstant{Val: snapLength},
		bpf.RetConstant{Val: 0},
	}
	for i, step := range steps {
		if jump, ok := step.(bpf.JumpIf); ok {
			jump.SkipFalse = uint8(len(steps) - 2 - i) // to the last step
			steps[i] = jump
		}
	}
	raw, err := bpf.Assemble(steps)
	if err != nil {
		return nil, fmt.Errorf("assemble the filter of frames: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return filter, nil
}
