package main

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// startVM starts QEMU in the background and returns its process id. Its network card is a plug on the nodes'
// wire, so forwarded connections reach the nodes without anything in between, and from the wire nothing
// reaches this machine (restrict=on).
func (l *Lab) startVM() (int, error) {
	if !l.kvmWorks() {
		return l.qemu(false)
	}
	pid, err := l.qemu(true)
	if err != nil {
		return 0, err
	}
	for range 60 {
		if log, _ := os.ReadFile(l.path("console.log")); len(log) > 0 {
			return pid, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Print(" /dev/kvm is there but runs nothing; emulating …")
	if err := l.end(pid); err != nil {
		return 0, err
	}
	if err := os.WriteFile(l.kvmBroken(), nil, 0o644); err != nil {
		return 0, err
	}
	return l.qemu(false)
}

func (l *Lab) qemu(kvm bool) (int, error) {
	if err := l.makeDisk(); err != nil {
		return 0, err
	}
	for _, f := range []string{"console.log", "qemu.pid"} {
		if err := os.Remove(l.path(f)); err != nil && !os.IsNotExist(err) {
			return 0, err
		}
	}
	out, err := exec.Command("qemu-system-x86_64", l.qemuArgs(kvm)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("qemu: %w\n%s", err, out)
	}
	b, err := os.ReadFile(l.path("qemu.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
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

func (l *Lab) qemuArgs(kvm bool) []string {
	img := l.imageDir()
	cmdline := "console=ttyS0 quiet loglevel=4 panic=1 apparmor=0"
	accel := []string{"-accel", "kvm", "-cpu", "host"}
	if !kvm {
		accel = []string{"-accel", "tcg,thread=multi,tb-size=1024", "-cpu", emulatedCPU}
		cmdline += emulatedKernel
	}
	wire := "user,id=wire,ipv6=off,restrict=on,net=192.168.200.0/24,host=192.168.200.1,dns=192.168.200.3,dhcpstart=192.168.200.240"
	for _, h := range append(l.hosts(), l.machine()) {
		wire += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-%s:22", h.Port, h.Address)
	}
	return append(accel,
		"-smp", "2", "-m", fmt.Sprintf("%dM", 3072+512*(l.Nodes+1)),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "file:"+l.path("console.log"),
		"-kernel", img+"/vmlinuz", "-initrd", img+"/initrd.gz", "-append", cmdline,
		"-drive", "if=virtio,format=raw,readonly=on,file="+img+"/root.ext4",
		"-drive", "if=virtio,format=raw,cache=unsafe,discard=unmap,file="+l.path("disk.raw"),
		"-fsdev", "local,id=share,security_model=none,path="+l.path("vm"), "-device", "virtio-9p-pci,fsdev=share,mount_tag=share",
		"-device", "virtio-rng-pci",
		"-netdev", wire, "-device", "virtio-net-pci,netdev=wire,romfile=,mac=02:52:4d:00:00:fe",
		"-daemonize", "-pidfile", l.path("qemu.pid"))
}

// kvmWorks asks for a virtual machine and a CPU, because /dev/kvm exists on machines where both are refused. On
// others both are granted and then never run; that is found out once per boot of this machine.
func (l *Lab) kvmWorks() bool {
	const createVM, createVCPU = 0xAE01, 0xAE41
	if os.Getenv("LAB_ACCEL") == "tcg" {
		return false
	}
	if _, err := os.Stat(l.kvmBroken()); err == nil {
		return false
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	vm, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), createVM, 0)
	if errno != 0 {
		return false
	}
	defer syscall.Close(int(vm))
	cpu, _, errno := syscall.Syscall(syscall.SYS_IOCTL, vm, createVCPU, 0)
	if errno != 0 {
		return false
	}
	return syscall.Close(int(cpu)) == nil
}

// kvmBroken is the note that KVM runs nothing on this machine since its last boot.
func (l *Lab) kvmBroken() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return filepath.Join(l.Cache, "kvm-broken-"+strings.TrimSpace(string(id)))
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
