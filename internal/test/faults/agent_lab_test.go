//go:build lab

package faults

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// during does something while the probes ask, and notes what became of it. do returns what the plan said.
func (w *world) during(t *testing.T, name, node string, do func() (repaired string, said []string)) load.Outage {
	t.Helper()
	from := w.mark(t)
	repaired, said := do()
	to := w.served(t, time.Minute)
	outage := w.between(from, to, w.targets...)
	w.note(Row{Fault: name, Node: node, Outage: outage, Repaired: repaired, Said: said})
	return outage
}

// untroubled wants that no request failed.
func untroubled(t *testing.T, o load.Outage) {
	t.Helper()
	if o.Failed > 0 {
		t.Errorf("%d of %d requests failed, over %.1f s, the first of them %s; none was to", o.Failed, o.Asked, o.Seconds, o.First)
	}
}

// agentFaults leave the kernel alone: nobody may notice.
func (w *world) agentFaults(t *testing.T) {
	t.Run("kill -9 of the agent", func(t *testing.T) {
		untroubled(t, w.during(t, "kill -9 of the agent", "n2", func() (string, []string) {
			return w.On(t, "n2", "t=$(now); systemctl kill -s KILL routingmesh-agent; repaired $t 60") + " s", nil
		}))
	})
	t.Run("the agent hangs", func(t *testing.T) { // systemd's watchdog, here after 30 s, and 20 s for the abort
		untroubled(t, w.during(t, "the agent hangs", "n1", func() (string, []string) {
			return w.On(t, "n1", `main() { systemctl show -p MainPID --value routingmesh-agent; }
settings=/run/systemd/system/routingmesh-agent.service.d
mkdir -p $settings; printf '[Service]\nWatchdogSec=30s\n' > $settings/quick.conf
trap 'rm -r $settings; systemctl daemon-reload' EXIT
systemctl daemon-reload; systemctl restart routingmesh-agent; repaired $(now) 60 > /dev/null
t=$(now); old=$(main)
systemctl kill -s STOP routingmesh-agent
restarted() { [ "$(main)" != "$old" ] && [ "$(main)" != 0 ]; }
within 110 restarted
repaired $t 200`) + " s", nil
		}))
	})
	t.Run("the agent stopped", func(t *testing.T) {
		untroubled(t, w.during(t, "the agent stopped", "n3", func() (string, []string) {
			w.On(t, "n3", "systemctl stop routingmesh-agent")
			said := w.plan(t)
			mustSay(t, said, `node n3: `)
			ok(t, w.main.Apply(within(t, 3*time.Minute), func(string) {}))
			w.On(t, "n3", "repaired $(now) 60")
			return "by the apply", said
		}))
		w.inSync(t)
	})
	t.Run("Docker starts again", func(t *testing.T) {
		untroubled(t, w.during(t, "Docker starts again", "n1", func() (string, []string) {
			w.On(t, "n1", `iptables -t nat -F DOCKER; iptables -D FORWARD -j DOCKER-USER; iptables -I FORWARD -j DOCKER-USER
iptables -t nat -A DOCKER -i docker0 -j RETURN; iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 9090 -j DNAT --to-destination 172.17.0.2:80`)
			said := w.plan(t)
			mustSay(t, said, `No changes`)
			return "", said
		}))
		w.On(t, "n1", "restore; untouched; repaired $(now) 60")
	})
	t.Run("another program fights for a jump", func(t *testing.T) {
		untroubled(t, w.during(t, "another program fights for a jump", "n2", func() (string, []string) {
			// until it is not put back any more, and then once more: the second time the agent waits for longer than a plan takes
			w.On(t, "n2", `jump() { iptables -$1 INPUT -j ROUTINGMESH-IN 2>/dev/null; }
held=0
for i in $(seq 10); do
  jump D
  ! within 5 jump C || continue
  held=$((held + 1)); [ $held -lt 2 ] || exit 0
  within 60 jump C
done
echo 'put back each time' >&2; exit 1`)
			said := w.plan(t)
			mustSay(t, said, `ROUTINGMESH-IN .*is not jumped to from INPUT\. Something on this host keeps`)
			return w.On(t, "n2", "repaired $(now) 90") + " s", said
		}))
	})
}

func mustSay(t *testing.T, said []string, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(strings.Join(said, "\n")) {
		t.Errorf("the plan has to say %q; it says %q", pattern, said)
	}
}
