// Command lab gives the tests and the demo real hosts: a few nodes and a client, each with systemd and OpenSSH
// of its own, on one wire. They run on this machine where its kernel can (driver "native"), else inside one
// virtual machine ("vm"). What it leaves in the lab's folder is a contract; see contract.go.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

const usage = `lab: real nodes to test on

  lab up              start it (idempotent: a running lab of the same shape is left alone)
  lab down            end it, and leave nothing running
  lab status          what runs; exit code 3 if none does
  lab node-off NODE   a power cut: no shutdown, the disk stays
  lab node-on NODE    power again
  lab wire-down NODE  frames from and to the node are lost, its link stays up
  lab wire-up NODE    plugged in again
  lab exec-on NODE PROGRAM [ARG]...
                      copy PROGRAM (a test binary) and ./testdata to the node and run it there:
                      go test -exec "$PWD/.lab/bin/on-node n1" ./agent/...

Environment: LAB_DIR (.lab), LAB_NODES (3), LAB_PACKAGES (more Debian packages), LAB_SSH_PORT (2200),
LAB_DRIVER (vm or native; default: what works here), LAB_ACCEL (kvm or tcg; default: kvm where it works, else tcg, QEMU's emulation),
LAB_ICOUNT=1 (one emulated CPU whose clock counts instructions: what is measured there is the same each time, make bench),
LAB_IMAGE (plain hosts): hosts as they come, by node ("n1=firewalld n2=csh+german") or the same for all nodes ("ufw"):
`

func main() {
	_ = os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // mkfs and modprobe, for those who are not root
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage+presetList())
		os.Exit(2)
	}
	err := run(os.Args[1], os.Args[2:])
	var exit *exec.ExitError
	if errors.As(err, &exit) && os.Args[1] == "exec-on" {
		os.Exit(exit.ExitCode()) // the program's own: go test wants to see it unchanged
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		if errors.Is(err, errNone) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}

func run(command string, args []string) error {
	lab, err := newLab(os.Getenv)
	if err != nil {
		return err
	}
	switch command {
	case "up":
		return lab.up()
	case "down":
		return lab.down()
	case "status":
		return lab.status()
	case "node-off", "node-on", "wire-down", "wire-up":
		return lab.control(command, args)
	case "exec-on":
		return lab.execOn(args)
	case "forward": // started by the native driver, not by people
		return lab.forward(args)
	}
	fmt.Fprint(os.Stderr, usage+presetList())
	return fmt.Errorf("no command %q", command)
}
