package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const msr = "failed to set MSR 0x10a to 0x0"

// TestMain makes this program QEMU, ssh and mkfs, too, when it is called by these names.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case qemuProgram:
		os.Exit(fakeQEMU(os.Args[1:]))
	case "ssh":
		fmt.Println("running")
	case "mkfs.ext4":
	case "apt-get":
		os.Exit(fakeApt(os.Args[1:]))
	default:
		os.Exit(m.Run())
	}
}

// fakeQEMU boots its hosts when it emulates; under KVM it does what FAKE_KVM says.
func fakeQEMU(args []string) int {
	if slices.Contains(args, "--version") {
		fmt.Printf("QEMU emulator version %s (Debian)\n", cmp.Or(os.Getenv("FAKE_QEMU"), "10.0.2"))
		return 0
	}
	mode := "works"
	if args[slices.Index(args, "-accel")+1] == accelKVM {
		mode = os.Getenv("FAKE_KVM")
	}
	console := strings.TrimPrefix(args[slices.Index(args, "-serial")+1], "file:")
	say := func(lines string) {
		if err := os.WriteFile(console, []byte(lines), 0o644); err != nil {
			panic(err)
		}
	}
	switch mode {
	case "refused":
		fmt.Fprintln(os.Stderr, "Could not access KVM kernel module: No such device\nqemu-system-x86_64: -accel kvm: failed to initialize kvm: No such device")
		return 1
	case "aborts at once", "aborts in boot":
		if mode == "aborts in boot" {
			say("lab: 0.5 kernel up\n")
		}
		fmt.Fprintln(os.Stderr, "qemu-system-x86_64: warning: host doesn't support requested feature\nqemu-system-x86_64: error: "+msr)
		return 134
	case "panics": // -no-reboot ends QEMU without an error
		say("lab: 0.5 kernel up\n[    0.6] Kernel panic - not syncing: Attempted to kill init!\r\n[    0.6] CPU: 0\n")
		return 0
	case "works":
		say("lab: 0.5 kernel up\nlab: 3.1 n1 answers\nlab: 3.2 client answers\n")
	}
	for { // as "hangs" does without a word; select {} would be a deadlock to a program without cgo, which has no other thread
		time.Sleep(time.Hour)
	}
}

// faked is a lab whose programs are ours, and whose /dev/kvm can be opened.
func faked(t *testing.T, mode string) *Lab {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	lab := fixed(t, map[string]string{"LAB_NODES": "1", "LAB_DIR": filepath.Join(dir, "lab"), "XDG_CACHE_HOME": dir, "LAB_DRIVER": "vm"})
	lab.kvm, lab.silence, lab.release = filepath.Join(dir, "kvm"), time.Minute, filepath.Join(dir, "os-release")
	for _, d := range []string{bin, lab.Dir, lab.Cache} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{lab.kvm: "", lab.release: "ID=debian\nVERSION_CODENAME=bookworm\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{qemuProgram, "ssh", "mkfs.ext4", "apt-get"} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("FAKE_KVM", mode)
	return lab
}

// bootFaked boots the lab and says what was printed. Its QEMU is ended with the test.
func bootFaked(t *testing.T, lab *Lab) (*State, string, error) {
	t.Helper()
	s := &State{Driver: "vm", Nodes: 1, Port: lab.Port}
	t.Cleanup(func() {
		if len(s.PIDs) > 0 {
			_ = lab.end(s.PIDs[0])
		}
	})
	var err error
	printed := printedBy(t, func() { err = lab.bootVM(s) })
	return s, printed, err
}

// printedBy is what do prints on the standard output.
func printedBy(t *testing.T, do func()) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdout := os.Stdout
	os.Stdout = f
	defer func() { os.Stdout = stdout }()
	do()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whatever KVM does, the lab runs, one line says why it is emulated, and the next lab up does not try again.
func TestBootVM_KVMFails_Emulates(t *testing.T) {
	for mode, why := range map[string]string{
		"refused":        "it ended while booting (exit status 1): qemu: Could not access KVM kernel module: No such device",
		"aborts at once": "it ended while booting (exit status 134): qemu: " + msr,
		"aborts in boot": "it ended while booting (exit status 134): qemu: " + msr,
		"panics":         "it ended while booting (exit status 0): Kernel panic - not syncing: Attempted to kill init!",
		"hangs":          "the guest printed nothing in 1ns",
	} {
		t.Run(mode, func(t *testing.T) {
			lab := faked(t, mode)
			if mode == "hangs" {
				lab.silence = 1
			}
			s, printed, err := bootFaked(t, lab)
			if err != nil || s.Accel != accelTCG || !lab.owns(s.PIDs[0]) {
				t.Fatalf("accelerator %q, error %v", s.Accel, err)
			}
			line := "lab: KVM does not work here (" + why + "); emulating. QEMU's output is in " + lab.path("qemu-kvm.log") + "\n"
			if strings.Count(printed, "lab: KVM") != 1 || !strings.Contains(printed, line) {
				t.Errorf("printed:\n%s\nwant the one line:\n%s", printed, line)
			}
			if _, err := os.Stat(lab.path("qemu-kvm.log")); err != nil {
				t.Error(err)
			}
			again := printedBy(t, func() { s.Accel = lab.chooseAccel() })
			if want := "lab: the virtual machine is emulated (KVM failed since this machine's last boot: " + why; s.Accel != accelTCG || !strings.HasPrefix(again, want) {
				t.Errorf("the next lab up takes %s and prints:\n%s", s.Accel, again)
			}
		})
	}
}

func TestBootVM_KVMWorks_IsUsed(t *testing.T) {
	lab := faked(t, "works")
	s, printed, err := bootFaked(t, lab)
	if err != nil || s.Accel != accelKVM || strings.Contains(printed, "lab: KVM") {
		t.Errorf("accelerator %q, error %v, printed:\n%s", s.Accel, err, printed)
	}
	if running, err := lab.running(); err != nil || running == nil || running.Accel != accelKVM {
		t.Errorf("the state says %+v, %v", running, err)
	}
}

func TestBootVM_Insisting_Fails(t *testing.T) {
	lab := faked(t, "aborts at once")
	lab.Accel = accelKVM
	_, _, err := bootFaked(t, lab)
	if err == nil || !strings.Contains(err.Error(), "QEMU's own words, in "+lab.path("qemu-kvm.log")) || !strings.Contains(err.Error(), msr) {
		t.Errorf("LAB_ACCEL=kvm: %v", err)
	}
	lab.Accel = accelTCG
	if s, printed, err := bootFaked(t, lab); err != nil || s.Accel != accelTCG || strings.Contains(printed, "lab: KVM") {
		t.Errorf("LAB_ACCEL=tcg: %v, printed:\n%s", err, printed)
	}
}

// A device that is missing or closed to this user is not tried, and nothing is remembered of it.
func TestChooseAccel_NoDevice_Emulates(t *testing.T) {
	lab := faked(t, "works")
	lab.kvm += "-missing"
	var got string
	printed := printedBy(t, func() { got = lab.chooseAccel() })
	if want := "lab: the virtual machine is emulated (" + lab.kvm + ": no such file or directory)\n"; got != accelTCG || printed != want {
		t.Errorf("got %s, printed %q, want %q", got, printed, want)
	}
}

func TestStatus_QEMUDied_SaysItsWords(t *testing.T) {
	lab := faked(t, "works")
	s, _, err := bootFaked(t, lab)
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.end(s.PIDs[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lab.path("qemu-kvm.log"), []byte("qemu-system-x86_64: out of memory\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("It ended without lab down (process %d); its last words, in %s:\nqemu-system-x86_64: out of memory", s.PIDs[0], lab.path("qemu-kvm.log"))
	if err := lab.status(); !errors.Is(err, errNone) || !strings.Contains(err.Error(), want) {
		t.Errorf("status: %v\nwant: %s", err, want)
	}
	if _, err := lab.adopt(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("adopt: %v", err)
	}
}

// What QEMU writes goes to its log also when lab up has ended: it is no child of a shell or terminal of ours.
func TestStartVM_OutlivesTerminal(t *testing.T) {
	lab := faked(t, "works")
	s, _, err := bootFaked(t, lab)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ps", "-o", "sid=", "-p", fmt.Sprint(s.PIDs[0])).Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(s.PIDs[0]) {
		t.Errorf("its session is %q, %v; want its own, %d", got, err, s.PIDs[0])
	}
	if got, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", s.PIDs[0])); err != nil || got != lab.path("qemu-kvm.log") {
		t.Errorf("its stderr is %q, %v", got, err)
	}
}
