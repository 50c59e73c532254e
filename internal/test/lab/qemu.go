package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const (
	qemuProgram = "qemu-system-x86_64"
	// quickQEMU is the version that emulates our nodes with a third less of a processor than bookworm's 7.2 does: 13 s instead of 20 s for
	// the same programs, 0.5 s instead of 0.75 s for a login. Debian 12 has it among its backports.
	quickQEMU = 10
	backports = suite + "-backports"
)

// backportedQEMU are its packages; what else they need, bookworm's qemu-system-x86 has brought.
var backportedQEMU = []string{"qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"}

// emulator is the command that emulates: this machine's QEMU, or where that is bookworm's, the one of its backports, unpacked in our cache.
// Nothing of that is installed. If it cannot be had the machine's own emulates as well, and takes longer.
func (l *Lab) emulator() []string {
	own := []string{qemuProgram}
	if v := qemuVersion(own...); v == 0 || v >= quickQEMU || !l.onBookworm() {
		return own
	}
	newer := l.unpackedQEMU()
	if qemuVersion(newer...) >= quickQEMU {
		return newer
	}
	err := step("unpack the QEMU of "+backports+", which emulates quicker", func() error {
		if err := l.unpackQEMU(); err != nil {
			return err
		}
		if out, err := exec.Command(newer[0], "--version").CombinedOutput(); err != nil {
			return fmt.Errorf("it does not run here: %w\n%s", err, tail(string(out), 3))
		}
		return nil
	})
	if err != nil {
		fmt.Printf("lab: %v\nlab: this machine's own QEMU emulates instead; everything takes about half as long again\n", err)
		return own
	}
	return newer
}

var qemuVersionLine = regexp.MustCompile(`^QEMU emulator version (\d+)\.`)

// qemuVersion is a QEMU's major version, 0 if it does not say.
func qemuVersion(command ...string) int {
	out, err := exec.Command(command[0], append(command[1:], "--version")...).Output()
	if err != nil {
		return 0
	}
	m := qemuVersionLine.FindSubmatch(out)
	if m == nil {
		return 0
	}
	v, _ := strconv.Atoi(string(m[1]))
	return v
}

func (l *Lab) onBookworm() bool {
	release, _ := os.ReadFile(l.release)
	return bytes.Contains(release, []byte("VERSION_CODENAME="+suite+"\n"))
}

func (l *Lab) qemuDir() string { return filepath.Join(l.Cache, "qemu-"+backports) }

// unpackedQEMU is the command, which finds its firmware in the same tree.
func (l *Lab) unpackedQEMU() []string {
	usr := filepath.Join(l.qemuDir(), "usr")
	return []string{filepath.Join(usr, "bin", qemuProgram), "-L", filepath.Join(usr, "share/qemu"), "-L", filepath.Join(usr, "share/seabios")}
}

// unpackQEMU has apt fetch the packages, with lists of its own below our cache: it checks signatures and hashes, and this machine's sources
// and packages stay as they are.
func (l *Lab) unpackQEMU() error {
	unlock, err := lock(l.qemuDir() + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	tmp := l.qemuDir() + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	for _, dir := range []string{"apt/lists/partial", "apt/archives/partial", "debs", "root"} {
		if err := os.MkdirAll(filepath.Join(tmp, dir), 0o755); err != nil {
			return err
		}
	}
	sources := filepath.Join(tmp, "apt/sources.list")
	if err := os.WriteFile(sources, []byte(backportsSource(aptSources())+"\n"), 0o644); err != nil {
		return err
	}
	apt := func(args ...string) *exec.Cmd {
		cmd := exec.Command("apt-get", append([]string{
			"-q", "-o", "Dir::Etc::sourcelist=" + sources, "-o", "Dir::Etc::sourceparts=-",
			"-o", "Dir::State::lists=" + filepath.Join(tmp, "apt/lists"), "-o", "Dir::Cache=" + filepath.Join(tmp, "apt"),
			"-o", "APT::Sandbox::User=root", "-t", backports, "-o", "Acquire::Languages=none",
		}, args...)...)
		cmd.Dir = filepath.Join(tmp, "debs")
		return cmd
	}
	if err := quiet(apt("update")); err != nil {
		return err
	}
	if err := quiet(apt(append([]string{"download"}, backportedQEMU...)...)); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "debs", "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if err := quiet(exec.Command("dpkg-deb", "-x", deb, filepath.Join(tmp, "root"))); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(l.qemuDir()); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(tmp, "root"), l.qemuDir()); err != nil {
		return err
	}
	return os.RemoveAll(tmp)
}

// backportsSource is the line of the backports of the first of the mirrors.
func backportsSource(sources []string) string {
	f := strings.Fields(sources[0]) // deb [signed-by=…] URI SUITE main
	f[3] = backports
	return strings.Join(f, " ")
}
