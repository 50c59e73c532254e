package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// bootTime is far more than an idle machine needs: half a minute without KVM, some seconds with it. The machines of
// continuous integration are not idle. A guest that KVM runs slower than this is faster emulated.
var bootTime = map[string]time.Duration{accelTCG: 10 * time.Minute, accelCount: 20 * time.Minute, accelKVM: 3 * time.Minute, "": 6 * time.Minute}

// silence is how long a guest under KVM may print nothing at all; its first line comes within a second.
const silence = 20 * time.Second

type answer struct {
	host  Host
	state string // systemctl is-system-running
	err   error
}

// await returns when every host has finished booting and lets us in. exited is the end of the process if it is our
// child, nil if an earlier lab up has started it.
func (l *Lab) await(s *State, exited <-chan error) error {
	start, limit := time.Now(), bootTime[s.Accel]
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	hosts := l.hosts()
	answers := make(chan answer, len(hosts))
	for _, h := range hosts {
		go func() { answers <- l.awaitHost(ctx, h) }()
	}
	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	var silent <-chan time.Time
	if s.Accel == accelKVM {
		silent = time.After(l.silence)
	}
	for left := len(hosts); left > 0; {
		select {
		case a := <-answers:
			left--
			if a.err != nil {
				return l.bootFailed(s, fmt.Sprintf("%s does not answer on 127.0.0.1:%d after %s (%v)", a.host.Name, a.host.Port, limit, a.err))
			}
			fmt.Printf("lab: %-6s %s, %s after %.1f s\n", a.host.Name, a.host.Address, a.state, time.Since(start).Seconds())
		case how := <-exited:
			return l.bootFailed(s, fmt.Sprintf("it ended while booting (%v)", how))
		case <-alive.C:
			if exited == nil && !l.owns(s.PIDs[0]) {
				return l.bootFailed(s, "it ended while booting")
			}
		case <-silent:
			if log, _ := os.ReadFile(l.path("console.log")); len(log) == 0 {
				return l.bootFailed(s, fmt.Sprintf("the guest printed nothing in %s", l.silence))
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

func (l *Lab) howTo() string {
	return fmt.Sprintf(`  ssh -F %[1]s/ssh_config n1     a shell on n1 (also n2 …, client; user ops has sudo)
  export TF_CLI_CONFIG_FILE=%[1]s/terraformrc   Terraform finds the built provider
  terraform apply -var-file=%[1]s/lab.auto.tfvars.json   the nodes as variables
  go test -exec "%[1]s/bin/on-node n1" ./agent/...   a test on a node
  bin/lab      node-off, node-on, wire-down, wire-up, status
  make lab-down
`, l.Dir)
}
