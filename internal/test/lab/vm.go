package main

import (
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
)

//go:embed scripts/boot.sh
var bootScript string

//go:embed scripts/nodes.sh
var nodesScript string

// An older, plain CPU: emulating the newest one costs more than its instructions save.
const emulatedCPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq"

// Without mitigations, KASLR and clock calibration, and with the emulator's clock believed, the kernel boots
// in a second or two; a stalled emulator must not look like a stalled CPU.
const emulatedKernel = " mitigations=off nokaslr tsc=reliable clocksource=tsc rcupdate.rcu_cpu_stall_suppress=1"

// countShift: an instruction takes 2^1 ns of the guest's clock, about as long as the emulator needs for it.
const countShift = "1"

// qemuLog is what QEMU itself says, one file per accelerator: that of a failed KVM survives the emulation that follows.
func (l *Lab) qemuLog(accel string) string { return l.path("qemu-" + accel + ".log") }

// startVM starts QEMU as a process that outlives us and our terminal. exited gets its end while we live. QEMU does
// not daemonize itself: a daemon's stderr is /dev/null, and what it says while it dies is lost. Its network card is
// a plug on the nodes' wire, so forwarded connections reach the nodes without anything in between, and from the wire
// nothing reaches this machine (restrict=on).
func (l *Lab) startVM(qemu []string, accel string) (pid int, exited <-chan error, err error) {
	if err := l.makeDisk(); err != nil {
		return 0, nil, err
	}
	if err := os.RemoveAll(l.path("console.log")); err != nil {
		return 0, nil, err
	}
	log, err := os.Create(l.qemuLog(accel))
	if err != nil {
		return 0, nil, err
	}
	defer log.Close()
	cmd := exec.Command(qemu[0], append(qemu[1:], l.qemuArgs(accel)...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.Dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	end := make(chan error, 1)
	go func() {
		_ = cmd.Wait()
		end <- errors.New(cmd.ProcessState.String())
	}()
	return cmd.Process.Pid, end, nil
}

// makeDisk makes the disk all nodes write to: new at every lab-up, sparse, never flushed.
func (l *Lab) makeDisk() error {
	disk := l.path("disk.raw")
	if err := os.RemoveAll(disk); err != nil {
		return err
	}
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(disk, 32<<30); err != nil {
		return err
	}
	return quiet(exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0", "-L", "rmlab-disk", disk))
}

func (l *Lab) qemuArgs(accelerator string) []string {
	img := l.imageDir()
	cmdline := "console=ttyS0 quiet loglevel=4 panic=1 apparmor=0"
	accel, cpus := []string{"-accel", "kvm", "-cpu", "host"}, "2"
	if emulated(accelerator) {
		accel = []string{"-accel", "tcg,thread=multi,tb-size=1024", "-cpu", emulatedCPU}
		cmdline += emulatedKernel
	}
	if accelerator == accelCount {
		accel[1] = "tcg,thread=single,tb-size=1024"
		accel, cpus = append(accel, "-icount", "shift="+countShift), "1"
	}
	wire := "user,id=wire,ipv6=off,restrict=on,net=192.168.200.0/24,host=192.168.200.1,dns=192.168.200.3,dhcpstart=192.168.200.240"
	for _, h := range append(l.hosts(), l.machine()) {
		wire += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-%s:22", h.Port, h.Address)
	}
	return append(accel,
		"-smp", cpus, "-m", fmt.Sprintf("%dM", 3072+512*(l.Nodes+1)),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "file:"+l.path("console.log"),
		"-kernel", img+"/vmlinuz", "-initrd", img+"/initrd.gz", "-append", cmdline,
		"-drive", "if=virtio,format=raw,readonly=on,file="+img+"/root.ext4",
		"-drive", "if=virtio,format=raw,cache=unsafe,discard=unmap,file="+l.path("disk.raw"),
		"-fsdev", "local,id=share,security_model=none,path="+l.path("vm"), "-device", "virtio-9p-pci,fsdev=share,mount_tag=share",
		"-device", "virtio-rng-pci",
		"-netdev", wire, "-device", "virtio-net-pci,netdev=wire,romfile=,mac=02:52:4d:00:00:fe")
}

// portsFree checks that nobody else listens where the lab's hosts will be.
func (l *Lab) portsFree() error {
	for _, h := range append(l.hosts(), l.machine()) {
		s, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", h.Port))
		if err != nil {
			return fmt.Errorf("the port of %s is taken (another lab?); choose others with LAB_SSH_PORT=%d: %w", h.Name, l.Port+100, err)
		}
		s.Close()
	}
	return nil
}
