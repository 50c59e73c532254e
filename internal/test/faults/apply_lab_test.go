//go:build lab

package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tryApply applies where that may fail, and returns what it warned and why it failed.
func (w *world) tryApply(t *testing.T, vars ...string) (warnings string, err error) {
	t.Helper()
	w.main.Set(vars...)
	var shown []string
	err = w.main.Apply(within(t, 4*time.Minute), func(line string) {
		if strings.HasPrefix(line, "warning:") {
			shown = append(shown, line)
		}
	})
	return strings.Join(shown, "\n"), err
}

// more is the variable that publishes one more port: a change to make. Each is another one, so that each is a change.
func more(port int) string { return fmt.Sprintf(`more=["%d"]`, port) }

// applyFaults come in the way of an apply. The ports that it does not touch serve on, and everything catches up with the next apply.
func (w *world) applyFaults(t *testing.T) {
	t.Run("disk full", func(t *testing.T) {
		untroubled(t, w.during(t, "disk full", "n2", func() (string, []string) {
			w.On(t, "n2", `cd /; cp -a /var/lib/routingmesh $dir/lib; mount -t tmpfs -o size=256k,mode=700 tmpfs /var/lib/routingmesh; cp -a $dir/lib/. /var/lib/routingmesh
dd if=/dev/zero of=/var/lib/routingmesh/filler bs=4k 2>/dev/null || true`)
			warnings, err := w.tryApply(t, more(8090))
			said := warnings + fmt.Sprint(err)
			if !strings.Contains(said, "n2") || !strings.Contains(said, "no space left on device") {
				t.Errorf("the apply has to say that there is no space left on n2; it says:\n%s", said)
			}
			drift := w.plan(t)
			w.On(t, "n2", `cd /; rm /var/lib/routingmesh/filler; cp -a /var/lib/routingmesh/. $dir/lib; umount /var/lib/routingmesh; cp -a $dir/lib/. /var/lib/routingmesh; rm -r $dir/lib`)
			w.apply(t, more(8090))
			return "by the apply", drift
		}))
	})
	for _, c := range []struct{ name, node, kill string }{
		// the program at the node's end of the connection, and with it the connection
		{"SSH cut during an apply", "n2", `kill -9 $(ps -o ppid= -p $p) $p`},
		{"kill -9 of the agent during an apply", "n3", `systemctl kill -s KILL routingmesh-agent`},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := 8091
			if c.node == "n3" {
				port = 8092
			}
			untroubled(t, w.during(t, c.name, c.node, func() (string, []string) {
				stop := w.cutting(t, c.node, c.kill)
				warnings, err := w.tryApply(t, more(port))
				stop()
				fmt.Fprintf(w.Lab.Log, "the apply that was cut: %v\n%s\n", err, warnings)
				drift := w.plan(t)
				w.apply(t, more(port))
				return "by the apply", drift
			}))
		})
	}
	t.Run("clock jump", func(t *testing.T) {
		untroubled(t, w.during(t, "clock jump", "all", func() (string, []string) {
			w.On(t, "n1", "date -s '+1 hour'")
			w.apply(t, more(8093))
			w.On(t, "n1", "date -s '-1 hour'")
			said := w.plan(t)
			w.apply(t, more(8094))
			return "", said
		}))
	})
	t.Run("two states at once", w.twoStates)
	w.apply(t)
}

// cutting kills what c.kill says once the provider is connected to a node, and again with the next connection, if there is one: while the node
// is read, and while it is written. stop ends the watch, with the apply, and wants it to have killed.
func (w *world) cutting(t *testing.T, node, kill string) (stop func()) {
	t.Helper()
	type watched struct {
		kills string
		err   error
	}
	w.On(t, node, "rm -f $dir/applied")
	ended := make(chan watched, 1)
	go func() {
		kills, err := w.Try(within(t, 10*time.Minute), node, `kills=0
while [ $kills -lt 2 ]; do
  until p=$(pgrep -f 'routingmesh-agent dial-stdi[o]' | head -1); [ -n "$p" ] || [ -e $dir/applied ]; do sleep 0.05; done
  [ ! -e $dir/applied ] || break
  kills=$((kills + 1)); { `+kill+`; } || true
done
echo $kills`)
		ended <- watched{kills, err}
	}()
	return func() {
		t.Helper()
		w.On(t, node, "touch $dir/applied")
		end := <-ended
		ok(t, end.err)
		if end.kills == "0" {
			t.Errorf("the apply ended before anything was killed on %s", node)
		}
	}
}

// twoStates has somebody else change another part of the cluster at the same time.
func (w *world) twoStates(t *testing.T) {
	second := w.terraform(t, "second")
	untroubled(t, w.during(t, "two states at once", "all", func() (string, []string) {
		w.main.Set(more(8095))
		both := func(theirs func() error) {
			t.Helper()
			done := make(chan error)
			go func() { done <- theirs() }()
			err := w.main.Apply(within(t, 4*time.Minute), func(string) {})
			ok(t, <-done)
			ok(t, err)
			w.inSync(t)
		}
		both(func() error { return second.Apply(within(t, 4*time.Minute), func(string) {}) })
		text, changes, err := second.Plan(within(t, 2*time.Minute))
		ok(t, err)
		if changes {
			t.Errorf("the other state's plan is not empty:\n%s", text)
		}
		w.main.Set()
		both(func() error { return second.Destroy(within(t, 4*time.Minute), func(string) {}) })
		return "", []string{"No changes (both)"}
	}))
}
