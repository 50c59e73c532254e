package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// record has n1 and n2, and 8080/tcp → web on n2:80; more ports from 9000 on.
func record(t testing.TB, more int) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	put := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put(err)
	rec.Generation = uint64(more) + 1
	put(rec.PutNode(&mesh.Node{Name: "n1", Address: netip.MustParseAddr("192.0.2.1"), UnderlayMTU: 1500}))
	put(rec.PutNode(&mesh.Node{Name: "n2", Address: netip.MustParseAddr("192.0.2.2"), UnderlayMTU: 1500}))
	put(rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n2"}}}))
	put(rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	for i := range more {
		put(rec.PutPort(&mesh.PublishedPort{Service: "web", Published: uint16(9000 + i), Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	}
	return rec
}

func texts(problems []mesh.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s: %s\n", p.Object, p.Text)
	}
	return b.String()
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

func TestACommitAppliesAllAndASecondOneNothing(t *testing.T) {
	k := newFakeKernel()
	r, _ := newReconciler(k)
	rec := record(t, 0)
	expect(t, "problems", texts(r.Commit(t.Context(), rec, "n1")), "")
	if len(k.ops) == 0 {
		t.Error("the first commit did nothing")
	}
	k.forget()
	expect(t, "problems", texts(r.Commit(t.Context(), rec, "n1")), "")
	if len(k.ops) != 0 {
		t.Errorf("the second commit did %v", k.ops)
	}
	if applied, _ := r.Status(t.Context()); applied != 1 {
		t.Errorf("applied generation %d, want 1", applied)
	}
}

func TestACommitLooksAtWhatHasChangedOnly(t *testing.T) {
	k := newFakeKernel()
	r, w, _ := newWatched(k, Options{})
	r.Commit(t.Context(), record(t, 0), "n1")
	k.forget()
	r.Commit(t.Context(), record(t, 1), "n1")
	for _, scope := range k.scopes {
		if scope != aPart {
			t.Errorf("scopes %v, want parts only", k.scopes)
		}
	}
	if len(k.ops) != 3 { // service, destination, member
		t.Errorf("one port more took %v", k.ops)
	}
	r.Commit(t.Context(), record(t, 1), "n2") // another node's chains
	if last := k.scopes[len(k.scopes)-1]; last != kernel.Full {
		t.Error("a change of the chains was not looked at in full")
	}
	k.forget()
	w.untouched = false // somebody has flushed them
	r.Commit(t.Context(), record(t, 2), "n2")
	if k.scopes[0] != kernel.Full {
		t.Error("chains that somebody has touched were not looked at")
	}
	k.forget()
	r.Watch = noWatch{}
	r.Commit(t.Context(), record(t, 3), "n2")
	if k.scopes[0] != kernel.Full {
		t.Error("without a watch nobody can say that the chains are untouched")
	}
}

func TestAfterAChainFailedTheNextCommitLooksAtAll(t *testing.T) {
	k := newFakeKernel()
	chain := state.Chain{Table: "nat", Name: state.ChainPrefix}.Key()
	k.refuses[chain] = errors.New("exit status 4")
	r, _ := newReconciler(k)
	if got := texts(r.Commit(t.Context(), record(t, 0), "n1")); !strings.Contains(got, "node/n1: The chain nat ROUTINGMESH (host) is missing: exit status 4.") {
		t.Errorf("problems: %s", got)
	}
	delete(k.refuses, chain)
	expect(t, "problems", texts(r.Commit(t.Context(), record(t, 1), "n1")), "")
	if k.has[chain] == nil {
		t.Error("the chain was not made")
	}
}

func TestProblemsNameTheObjectAndTheKernelsError(t *testing.T) {
	k := newFakeKernel()
	rec := record(t, 0)
	server := netip.MustParseAddrPort("10.255.0.1:8080")
	k.refuses[state.RealServer{Proto: "tcp", Server: server, Addr: netip.MustParseAddrPort("10.255.1.2:80")}.Key()] = errors.New("no such device")
	k.refuses[state.FDB{MAC: rec.Nodes["n2"].MAC().String()}.Key()] = errors.New("no buffer space available")
	r, _ := newReconciler(k)
	expect(t, "problems", texts(r.Commit(t.Context(), rec, "n1")), ""+
		"node/n2: The fdb entry 02:52:0a:ff:01:01 dst 192.0.2.2 on vx0 is missing: no buffer space available.\n"+
		"port/8080/tcp: IPVS 10.255.0.1:8080/tcp has no destination 10.255.1.2:80: no such device.\n")
	if applied, _ := r.Status(t.Context()); applied != 0 {
		t.Errorf("generation %d counts as applied", applied)
	}
}

func TestStatusShowsDriftAndChangesNothing(t *testing.T) {
	k := newFakeKernel()
	r, _ := newReconciler(k)
	rec := record(t, 0)
	r.Commit(t.Context(), rec, "n1")
	k.forget()
	chainKey := state.Chain{Table: "filter", Name: state.ChainPrefix + "-FWD"}.Key()
	chain, ok := k.has[chainKey].(state.Chain)
	if !ok {
		t.Fatal("no such chain")
	}
	chain.Rules = strings.Join(slices.DeleteFunc(strings.Split(chain.Rules, "\n"), func(rule string) bool { return strings.HasPrefix(rule, "-i") && strings.Contains(rule, "RELATED") }), "\n")
	k.has.Put(chain, state.RealServer{Proto: "tcp", Server: netip.MustParseAddrPort("10.255.0.1:8080"), Addr: netip.MustParseAddrPort("10.255.1.9:80"), Weight: 1})
	delete(k.has, state.SetMember{Set: "routingmesh-tcp", Port: 8080}.Key())
	applied, problems := r.Status(t.Context())
	expect(t, "problems", texts(problems), ""+
		"node/n1: The chain filter ROUTINGMESH-FWD (host) lacks the rule `-i rmesh0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`.\n"+
		"port/8080/tcp: IPVS 10.255.0.1:8080/tcp has a destination 10.255.1.9:80 that the record does not ask for.\n"+
		"port/8080/tcp: The ipset routingmesh-tcp lacks port 8080, so that no traffic gets in.\n")
	if applied != 1 || len(k.ops) != 0 {
		t.Errorf("applied %d, ops %v", applied, k.ops)
	}
}

func TestAMissingNamespaceIsOneSentence(t *testing.T) {
	k := newFakeKernel()
	r, _ := newReconciler(k)
	r.Commit(t.Context(), record(t, 5), "n1")
	maps.DeleteFunc(k.has, func(key state.Key, o state.Object) bool { // with the namespace goes one end of the veth
		return key.NS == state.Mesh || key.Kind == state.KindNamespace || key.Kind != state.KindChain && strings.Contains(o.String(), state.HostLink)
	})
	_, problems := r.Status(t.Context())
	expect(t, "problems", texts(problems), "node/n1: The network namespace routingmesh is missing.\n")
}

func TestAMissingLinkIsOneSentence(t *testing.T) {
	k := newFakeKernel()
	r, _ := newReconciler(k)
	r.Commit(t.Context(), record(t, 5), "n1")
	for key, o := range k.has { // as the kernel does when somebody deletes vx0
		if strings.Contains(o.String(), state.OverlayLink) && key.Kind != state.KindChain {
			delete(k.has, key)
		}
	}
	_, problems := r.Status(t.Context())
	if got := texts(problems); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "node/n1: The link vx0 (vxlan ") {
		t.Errorf("problems:\n%s", got)
	}
}

func TestAHostThatLeavesIsEmptied(t *testing.T) {
	k := newFakeKernel()
	r, _ := newReconciler(k)
	rec := record(t, 0)
	r.Commit(t.Context(), rec, "n1")
	k.forget()
	next := rec.Next()
	next.RemoveNode("n1")
	expect(t, "problems", texts(r.Commit(t.Context(), next, "")), "")
	if len(k.has) != 0 {
		t.Errorf("left: %v", k.has)
	}
	for _, op := range k.ops {
		if key := op.Object().Key(); key.NS == state.Mesh && !key.Kind.IsLink() {
			t.Errorf("%s goes with the namespace", op)
		}
	}
}

func TestAPassEndsWhenItDoesNotHelp(t *testing.T) {
	k := newFakeKernel()
	k.afterApply = func(s state.State) { delete(s, state.Set{Name: "routingmesh-tcp"}.Key()) }
	r, _ := newReconciler(k)
	expect(t, "problems", texts(r.Commit(t.Context(), record(t, 0), "n1")), "node/n1: The ipset routingmesh-tcp (bitmap:port) is missing.\n")
	if len(k.scopes) != maxRounds+1 {
		t.Errorf("observed %d times, want %d", len(k.scopes), maxRounds+1)
	}
}

func TestAKernelThatCannotBeReadIsAProblem(t *testing.T) {
	k := newFakeKernel()
	k.blind = errors.New("iptables-save: not found")
	r, _ := newReconciler(k)
	if got := texts(r.Commit(t.Context(), record(t, 0), "n1")); !strings.HasPrefix(got, "node/n1: The agent cannot read the kernel's state: iptables-save: not found.") {
		t.Errorf("problems: %s", got)
	}
}

func TestClearRemovesAllAndSaysWhatIsLeft(t *testing.T) {
	k := newFakeKernel()
	r, _ := newReconciler(k)
	r.Commit(t.Context(), record(t, 0), "n1")
	k.refuses[state.Set{Name: "routingmesh-peers"}.Key()] = errors.New("set is in use")
	if _, err := r.Clear(t.Context()); err == nil || err.Error() != "ipset routingmesh-peers (hash:ip) is still there: set is in use" {
		t.Errorf("error %v", err)
	}
	clear(k.refuses)
	if n, err := r.Clear(t.Context()); n != 1 || err != nil || len(k.has) != 0 {
		t.Errorf("removed %d, error %v, left %v", n, err, k.has)
	}
}

func TestTheTimerRepairsAndLogsEachRepairOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		r, log := newReconciler(k)
		r.Commit(t.Context(), record(t, 0), "n1")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)
		fdb := state.FDB{MAC: "02:52:0a:ff:01:01"}.Key()
		count := func(text string) (n int) {
			between(r, func() { n = strings.Count(log.String(), text) })
			return n
		}
		between(r, func() {
			delete(k.has, state.Set{Name: "routingmesh-udp"}.Key())
			delete(k.has, fdb)
			k.refuses[fdb] = errors.New("no buffer space available")
		})
		time.Sleep(10 * time.Minute) // of the bubble's clock
		if repaired, failed := count("repaired"), count("cannot repair"); repaired != 1 || failed != 1 {
			t.Errorf("logged %d repairs and %d that failed, want one each", repaired, failed)
		}
		between(r, func() { delete(k.refuses, fdb) })
		time.Sleep(time.Minute)
		if n := count("repaired"); n != 2 {
			t.Errorf("the end of a failure was not logged: %d repairs", n)
		}
	})
}

// between runs f, in a bubble, while no pass does. The clock of a bubble stands still while
// somebody waits for a mutex, so that a pass that takes its time would never end: come again.
// What happens at this instant happens first, so that a mutex that is held for no time does
// not cost a second.
func between(r *Reconciler, f func()) {
	for synctest.Wait(); !r.mu.TryLock(); synctest.Wait() {
		time.Sleep(time.Second)
	}
	defer r.mu.Unlock()
	f()
}
