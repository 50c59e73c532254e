package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// bootTime is far more than an idle machine needs without KVM (half a minute), because the machines of
// continuous integration are not idle.
const bootTime = 6 * time.Minute

type answer struct {
	host  Host
	state string // systemctl is-system-running
	err   error
}

// await returns when every host has finished booting and lets us in.
func (l *Lab) await(start time.Time) error {
	s, err := l.running()
	if err != nil {
		return err
	}
	if s == nil {
		return l.bootFailed("it ended right after the start")
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	answers := make(chan answer)
	for _, h := range l.hosts() {
		go func() { answers <- l.awaitHost(ctx, h) }()
	}
	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	for left := len(l.hosts()); left > 0; {
		select {
		case a := <-answers:
			left--
			if a.err != nil {
				return l.bootFailed(fmt.Sprintf("%s does not answer on 127.0.0.1:%d after %s (%v)", a.host.Name, a.host.Port, bootTime, a.err))
			}
			fmt.Printf("lab: %-6s %s, %s after %.1f s\n", a.host.Name, a.host.Address, a.state, time.Since(start).Seconds())
		case <-alive.C:
			if !l.owns(s.PIDs[0]) {
				return l.bootFailed("it ended while booting")
			}
		}
	}
	return nil
}

func (l *Lab) awaitHost(ctx context.Context, h Host) answer {
	err := fmt.Errorf("its sshd never listened")
	for {
		if log, _ := os.ReadFile(l.path("console.log")); strings.Contains(string(log), " "+h.Name+" answers") {
			cmd := l.ssh(h.Name, "systemctl", "is-system-running", "--wait")
			var out []byte
			out, err = exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...).Output()
			if state := strings.TrimSpace(string(out)); state == "running" || state == "degraded" {
				return answer{h, state, nil}
			}
		}
		select {
		case <-ctx.Done():
			return answer{h, "", err}
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func (l *Lab) bootFailed(what string) error {
	log := l.path("console.log")
	return fmt.Errorf("the lab did not come up: %s\nThe end of %s:\n%s\nThe nodes' own logs are in %s. Try make lab-down lab-up; with LAB_DRIVER=vm LAB_ACCEL=tcg nothing depends on this machine's kernel",
		what, log, tailFile(log, 12), l.path("vm", "log"))
}

func (l *Lab) howTo() string {
	return fmt.Sprintf(`  ssh -F %[1]s/ssh_config n1     a shell on n1 (also n2 …, client; user ops has sudo)
  export TF_CLI_CONFIG_FILE=%[1]s/terraformrc   Terraform finds the built provider
  terraform apply -var-file=%[1]s/lab.auto.tfvars.json   the nodes as variables
  go test -exec "%[1]s/bin/on-node n1" ./agent/...   a test on a node
  bin/lab      node-off, node-on, wire-down, wire-up, status
  make lab-down
`, l.Dir)
}
