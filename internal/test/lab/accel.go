package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The accelerators of QEMU that the lab knows: the CPU's virtualisation, emulation, and emulation of one CPU whose
// clock is the number of instructions that it has executed (LAB_ICOUNT=1): what takes half the time there needs half
// the instructions, whatever else this machine does.
const (
	accelKVM   = "kvm"
	accelTCG   = "tcg"
	accelCount = "icount"
)

func emulated(accel string) bool { return accel != accelKVM }

// bootVM boots the virtual machine until every host answers: under KVM where that works, else emulated. That
// /dev/kvm exists and can be opened says little: machines refuse the virtual machine (no nested virtualisation),
// grant it and never run it, or grant it and fail at a register that QEMU then aborts at (MSR 0x10a under a kernel
// that emulates virtualisation). So the boot itself is the test, and QEMU is a process that can be killed.
// LAB_ACCEL=kvm insists on KVM, LAB_ACCEL=tcg on emulation.
func (l *Lab) bootVM(s *State) error {
	s.Accel = l.chooseAccel()
	err := l.boot(s)
	var failed *bootError
	if emulated(s.Accel) || l.Accel == accelKVM || !errors.As(err, &failed) {
		return err
	}
	reason := failed.reason()
	if err := l.stop(s); err != nil { // stuck in the kernel; it shares no file with the next one
		reason += "; " + err.Error()
	}
	if err := os.Rename(l.path("console.log"), l.path("console-kvm.log")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fmt.Printf("lab: KVM does not work here (%s); emulating. QEMU's output is in %s\n", reason, l.qemuLog(accelKVM))
	s.Accel = accelTCG
	if err := l.boot(s); err != nil {
		return err // not of KVM's making, perhaps: the next lab up tries KVM again
	}
	return os.WriteFile(l.kvmBroken(), []byte(reason+"\n"), 0o644)
}

// chooseAccel says which accelerator to try first, and in a line why not KVM. It does not open /dev/kvm: an open
// can hang.
func (l *Lab) chooseAccel() string {
	if l.Accel != "" {
		return l.Accel
	}
	why := ""
	if err := unix.Access(l.kvm, unix.R_OK|unix.W_OK); err != nil {
		why = fmt.Sprintf("%s: %v", l.kvm, err)
	} else if b, err := os.ReadFile(l.kvmBroken()); err == nil {
		why = fmt.Sprintf("KVM failed since this machine's last boot: %s; to try again: rm %s", strings.TrimSpace(string(b)), l.kvmBroken())
	}
	if why == "" {
		return accelKVM
	}
	fmt.Printf("lab: the virtual machine is emulated (%s)\n", why)
	return accelTCG
}

// kvmBroken is the note that KVM runs nothing on this machine since its last boot.
func (l *Lab) kvmBroken() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return filepath.Join(l.Cache, "kvm-broken-"+strings.TrimSpace(string(id)))
}

// bootError says why a lab did not come up: in a few words, and with the logs.
type bootError struct {
	what    string // the virtual machine ended, a host does not answer
	qemu    string // QEMU's complaint, if it has one
	console string // the guest's last words, if it panicked
	details string // the ends of the logs and what to do
}

func (e *bootError) Error() string {
	return "the lab did not come up: " + e.what + "\n" + e.details
}

func (e *bootError) reason() string {
	switch {
	case e.qemu != "":
		return e.what + ": " + e.qemu
	case e.console != "":
		return e.what + ": " + e.console
	}
	return e.what
}

// bootFailed collects what the logs say about a boot that failed.
func (l *Lab) bootFailed(s *State, what string) error {
	var b strings.Builder
	e := &bootError{what: what}
	if s.Driver == "vm" {
		e.qemu = complaint(tailFile(l.qemuLog(s.Accel), 1000))
		if words := tailFile(l.qemuLog(s.Accel), 12); words != "" {
			fmt.Fprintf(&b, "QEMU's own words, in %s:\n%s\n", l.qemuLog(s.Accel), words)
		}
	}
	log := l.path("console.log")
	e.console = panicOf(tailFile(log, 1000))
	fmt.Fprintf(&b, "The end of %s:\n%s\nThe nodes' own logs are in %s. Try make lab-down lab-up", log, tailFile(log, 12), l.path("vm", "log"))
	if s.Driver != "vm" || !emulated(s.Accel) {
		b.WriteString("; with LAB_DRIVER=vm LAB_ACCEL=tcg nothing depends on this machine's kernel")
	}
	e.details = b.String()
	return e
}

// complaint is the line of QEMU's output that says what is wrong: the first one that is not a warning.
func complaint(log string) string {
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if line == "" || strings.Contains(line, "warning:") || strings.Contains(line, "terminating on signal") {
			continue
		}
		line = strings.TrimPrefix(line, "qemu-system-x86_64: ")
		return "qemu: " + shorten(strings.TrimPrefix(line, "error: "))
	}
	return ""
}

// panicOf is the line with which a Linux guest died.
func panicOf(console string) string {
	if _, after, found := strings.Cut(console, "Kernel panic"); found {
		line, _, _ := strings.Cut(after, "\n")
		return shorten("Kernel panic" + strings.TrimRight(line, "\r"))
	}
	return ""
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 160 {
		return string(r[:160]) + "…"
	}
	return s
}
