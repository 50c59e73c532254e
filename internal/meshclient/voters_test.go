package meshclient_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// forged is a record that says that web is served by the named node alone.
func forged(f *meshtest.Fleet, by string, generation uint64) *mesh.Record {
	r := f.Node(by).Record().Clone()
	r.Generation, r.Parent = generation, f.Node(by).Record().Hash()
	r.Services["web"] = &mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"evil": {Node: by}}}
	r.Voters = mesh.NewVoters([]string{f.Node(by).Addr()}, nil)
	return r
}

// impatiently is a client that does not wait long for hosts that are down.
func impatiently(t testing.TB, f *meshtest.Fleet, hosts ...string) *meshclient.Client {
	t.Helper()
	cfg := f.ClientConfig(hosts...)
	cfg.SSH.Timeout = tired
	return newClient(t, cfg)
}

// Records that fewer than half of the voters have change nothing, whatever their
// generation. They are named, and the next commit replaces them.
func TestForgedRecord_ChangesNothing(t *testing.T) {
	t.Parallel()
	five := []string{"n1", "n2", "n3", "n4", "n5"}
	for name, tt := range map[string]struct {
		voters, forgers []string
		ahead           uint64 // of the record
	}{
		"a worker":                   {three, []string{"n4"}, 1000},
		"a worker, the next":         {three, []string{"n4"}, 1},
		"two workers":                {three, []string{"n4", "n5"}, 3},
		"a worker at the end":        {three, []string{"n4"}, math.MaxUint64},
		"a voter":                    {three, []string{"n3"}, 1000},
		"a voter, the next":          {three, []string{"n3"}, 1},
		"a voter at the end":         {three, []string{"n2"}, math.MaxUint64},
		"two voters of five":         {five, []string{"n4", "n5"}, 1000},
		"two of five, the next":      {five, []string{"n1", "n2"}, 1},
		"two of five at the end":     {five, []string{"n1", "n5"}, math.MaxUint64},
		"the first voter, far ahead": {three, []string{"n1"}, mesh.MaxGenerationJump - 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, c := cluster(t, five, tt.voters...)
			must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
			good := sameRecord(t, f)
			generation := good.Generation + min(tt.ahead, math.MaxUint64-good.Generation)
			for _, by := range tt.forgers {
				f.Node(by).SetRecord(forged(f, tt.forgers[0], generation), by)
			}
			c = newClient(t, f.ClientConfig(tt.voters...))
			snap, err := c.Snapshot(deadline(t))
			if err != nil || snap.Record.Hash() != good.Hash() || len(snap.Warnings) != len(tt.forgers) {
				t.Fatalf("%+v, %v", snap, err)
			}
			for i, by := range tt.forgers {
				wantText(t, errors.New(snap.Warnings[i]), "node "+by, "forged", "changes nothing")
			}
			if _, err := c.PutPort(deadline(t), "demo", port(8001), true); err != nil {
				t.Fatal(err)
			}
			r := sameRecord(t, f)
			if r.Services["web"].Endpoints["evil"].Node != "" || len(r.Ports) != 2 || r.Generation > good.Generation+mesh.MaxGenerationJump {
				t.Errorf("generation %d has %v and %d ports", r.Generation, r.Services["web"].Endpoints, len(r.Ports))
			}
			must(t)(c.PutPort(deadline(t), "demo", port(8002), true))
		})
	}
}

// A change that two voters of three have acknowledged is not lost with the record of
// one of them: who has no record does not vote.
func TestAmnesia_DoesNotVote(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	f.Node("n2").SetDown(true)
	if _, err := impatiently(t, f).PutPort(deadline(t), "demo", port(8000), true); err != nil {
		t.Fatal(err)
	}
	f.Node("n2").SetDown(false)
	f.Node("n3").SetDown(true)
	f.Node("n1").SetInstalled(false)
	f.Node("n1").SetInstalled(true) // record.json.bad, or a new disk
	c := impatiently(t, f)
	if _, err := c.Snapshot(deadline(t)); err == nil {
		t.Error("an old record was read")
	}
	_, err := c.PutPort(deadline(t), "demo", port(8001), true)
	if hosts, ok := errors.AsType[*meshclient.HostsError](err); !ok || len(hosts.Hosts) != 2 {
		t.Fatalf("%v", err)
	}
	wantText(t, err, "Nothing was changed", "more than half of its 3 voters", "does not vote before it has caught up")
	f.Node("n3").SetDown(false)
	if _, err := newClient(t, f.ClientConfig()).PutPort(deadline(t), "demo", port(8001), true); err != nil {
		t.Fatal(err)
	}
	if r := sameRecord(t, f); r.Ports[key(8000)] == nil || r.Ports[key(8001)] == nil {
		t.Errorf("ports %v are left", r.Ports)
	}
}

// Leases that are lost between prepare and commit: a worker alone is no majority.
func TestCommit_LostLeases_SentAgain(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, []string{"n1", "n2", "n3", "n4"}, three...)
	var releases []func()
	var arrivals []<-chan struct{}
	for _, n := range three {
		arrived, release := f.Node(n).Hold(mesh.PathCommit)
		arrivals, releases = append(arrivals, arrived), append(releases, release)
	}
	done := make(chan error)
	go func() { done <- outcome(c.PutPort(deadline(t), "demo", port(8000), true)) }()
	for i, arrived := range arrivals {
		<-arrived
		f.Node(three[i]).DropLease()
	}
	for _, release := range releases {
		release()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(sameRecord(t, f).Ports) != 1 {
		t.Error("the port is not there")
	}
}

// One voter of three has it: that is neither done nor refused.
func TestCommit_Minority_IsUnknown(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	for _, n := range []string{"n1", "n2"} {
		f.Node(n).FaultAt(mesh.PathCommit, 1, meshtest.FullDisk)
	}
	_, err := c.PutPort(deadline(t), "demo", port(8000), true)
	if p, ok := errors.AsType[*meshclient.ProblemsError](err); !ok || !p.Unknown || len(p.Problems) != 2 {
		t.Fatalf("%v", err)
	}
	wantText(t, err, "may be in the record", "node n1: too few of the cluster's voters have taken generation 6", "Is its disk full")
	for _, n := range f.All() {
		n.Heal()
	}
	// All answer, so that it is known not to count. The next commit replaces it.
	snap := snapshotOf(t, newClient(t, f.ClientConfig()))
	if snap.Record.Ports[key(8000)] != nil || len(snap.Warnings) != 1 {
		t.Errorf("%+v", snap)
	}
	if _, err := newClient(t, f.ClientConfig()).PutPort(deadline(t), "demo", port(8001), true); err != nil {
		t.Fatal(err)
	}
	if r := sameRecord(t, f); len(r.Ports) != 1 || r.Generation != 7 {
		t.Errorf("generation %d, ports %v", r.Generation, r.Ports)
	}
}

// The writer died after one voter, and of the others one is down, which may have it
// as well: it counts, and that is said.
func TestCutOffCommit_IsAdopted(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	next := f.Node("n1").Record().Next()
	published := port(8000)
	if err := next.PutPort(&published); err != nil {
		t.Fatal(err)
	}
	f.Node("n1").SetRecord(next, "n1")
	f.Node("n3").SetDown(true)
	c := impatiently(t, f)
	snap := snapshotOf(t, c)
	if snap.Record.Hash() != next.Hash() || len(snap.Warnings) != 1 {
		t.Fatalf("%+v", snap)
	}
	wantText(t, errors.New(snap.Warnings[0]), "Generation 6", "not known to have reached a majority", "the next apply brings it to the others")
	if _, err := c.PutPort(deadline(t), "demo", port(8001), true); err != nil {
		t.Fatal(err)
	}
	if r := f.Node("n2").Record(); len(r.Ports) != 2 {
		t.Errorf("ports %v", r.Ports)
	}
}

// Two writers that each met another voter do not use one generation: a reader that
// meets one voter of each knows which was acknowledged.
func TestCutOffCommit_LosesToTheAcknowledged(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	cut := impatiently(t, f)
	for _, n := range []string{"n2", "n3"} { // only n1 takes it, and the writer dies
		f.Node(n).FaultAt(mesh.PathCommit, 1, meshtest.FullDisk)
	}
	if _, err := cut.PutPort(deadline(t), "demo", port(8000), true); err == nil {
		t.Fatal("one voter is taken for three")
	}
	cut.Close()
	for _, n := range f.All() {
		n.Heal()
	}
	f.Node("n1").SetDown(true)
	if _, err := impatiently(t, f).PutPort(deadline(t), "demo", port(8001), true); err != nil {
		t.Fatal(err)
	}
	f.Node("n1").SetDown(false)
	f.Node("n2").SetDown(true)
	snap := snapshotOf(t, impatiently(t, f))
	if snap.Record.Ports[key(8001)] == nil || snap.Record.Ports[key(8000)] != nil {
		t.Errorf("generation %d has the ports %v", snap.Record.Generation, snap.Record.Ports)
	}
}

// A record without voters, of an earlier version: hosts decide, and the first commit
// writes them. Nothing is committed for that alone.
func TestVoters_FirstCommitWritesThem(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	old := f.Node("n1").Record().Clone()
	old.Voters = nil
	for _, n := range f.All() {
		n.SetRecord(old, n.Name)
	}
	c := newClient(t, f.ClientConfig())
	must(t)(c.PutService(deadline(t), "demo", web("n1"), false))
	if sameRecord(t, f).Hash() != old.Hash() {
		t.Error("something was committed")
	}
	must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
	if r := sameRecord(t, f); r.Voters == nil || !slices.Equal(r.Voters.Hosts, sorted(f.Hosts())) {
		t.Errorf("the voters are %+v", r.Voters)
	}
	wantDrift(t, snapshotOf(t, c), nil)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// The state that has the cluster changes the voters; the old majority has to agree.
func TestVoters_FollowHosts(t *testing.T) {
	t.Parallel()
	all := []string{"n1", "n2", "n3", "n4", "n5"}
	for name, next := range map[string][]string{"one is replaced": {"n1", "n2", "n4"}, "two more": all, "others": {"n4", "n5", "n3"}, "one alone": {"n4"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := cluster(t, all, three...)
			c := newClient(t, f.ClientConfig(next...))
			want := sorted(f.Hosts(next...))
			drift := c.VotersDrift(snapshotOf(t, c))
			if len(drift) != 1 || !strings.Contains(drift[0], "the next apply makes these the voters") {
				t.Fatalf("%q", drift)
			}
			must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
			if r := sameRecord(t, f); !slices.Equal(r.Voters.Hosts, sorted(f.Hosts(three...))) {
				t.Errorf("another change made the voters %+v", r.Voters)
			}
			must(t)(c.UpdateCluster(deadline(t), demo()))
			if r := sameRecord(t, f); !slices.Equal(r.Voters.Hosts, want) || r.Voters.Before != nil {
				t.Errorf("the voters are %+v", r.Voters)
			}
			for _, hosts := range [][]string{next, three, {"n5"}} { // others find them
				c := newClient(t, f.ClientConfig(hosts...))
				if drift := snapshotOf(t, c).Drift(mesh.ClusterRef); len(drift) > 0 {
					t.Errorf("%q", drift)
				}
			}
			if drift := c.VotersDrift(snapshotOf(t, c)); drift != nil {
				t.Errorf("%q", drift)
			}
		})
	}
}

// Without the majority of those before, the voters stay.
func TestVoters_OldMajorityDecides(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1", "n2", "n3", "n4", "n5"}, three...)
	f.Node("n1").SetDown(true)
	f.Node("n2").SetDown(true)
	c := impatiently(t, f, "n3", "n4", "n5")
	_, err := c.UpdateCluster(deadline(t), demo())
	wantText(t, err, "Nothing was changed", "3 voters", "force_hosts")
	if r := f.Node("n4").Record(); !slices.Equal(r.Voters.Hosts, sorted(f.Hosts(three...))) {
		t.Errorf("the voters are %+v", r.Voters)
	}
	// They are gone for good, and the user says so.
	cfg := f.ClientConfig("n3", "n4", "n5")
	cfg.SSH.Timeout, cfg.ForceHosts = tired, true
	if _, err := newClient(t, cfg).UpdateCluster(deadline(t), demo()); err != nil {
		t.Fatal(err)
	}
	if r := f.Node("n4").Record(); !slices.Equal(r.Voters.Hosts, sorted(f.Hosts("n3", "n4", "n5"))) {
		t.Errorf("the voters are %+v", r.Voters)
	}
	if _, err := impatiently(t, f, "n3", "n4", "n5").PutPort(deadline(t), "demo", port(8000), true); err != nil {
		t.Error(err)
	}
	f.Node("n1").SetDown(false) // comes back with the old record, and obeys
	f.Node("n2").SetDown(false)
	if snap := snapshotOf(t, newClient(t, f.ClientConfig("n3", "n4", "n5"))); snap.Record.Ports[key(8000)] == nil {
		t.Errorf("%+v", snap.Record.Ports)
	}
}

// A voter that leaves is taken out before it is cleaned, and the rest can go on.
func TestVoters_Leave(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	for i, name := range []string{"n1", "n2"} {
		must(t)(c.RemoveNode(deadline(t), "demo", name, false))
		if f.Node(name).Installed() || len(f.Node("n3").Record().Voters.Hosts) != 2-i {
			t.Errorf("%s: installed %v, voters %+v", name, f.Node(name).Installed(), f.Node("n3").Record().Voters)
		}
		wantDrift(t, snapshotOf(t, fresh(t, f)), nil)
		if drift := c.VotersDrift(snapshotOf(t, c)); drift != nil {
			t.Errorf("%q", drift)
		}
	}
	must(t)(c.PutNode(deadline(t), "demo", f.Node("n1").MeshNode(), true))
	if v := f.Node("n3").Record().Voters; len(v.Hosts) != 2 || v.Before != nil {
		t.Errorf("after it joined again: %+v", v)
	}
	wantDrift(t, snapshotOf(t, fresh(t, f)), nil)
}

// A change of the voters that is cut off at any of its commits goes on.
func TestVoters_ChangeIsCutOff(t *testing.T) {
	t.Parallel()
	for commit := 1; commit <= 2; commit++ {
		for _, name := range []string{"n1", "n3", "n4"} {
			f, _ := cluster(t, []string{"n1", "n2", "n3", "n4"}, three...)
			f.Node(name).FaultAt(mesh.PathCommit, commit, meshtest.DownBefore)
			_, failed := impatiently(t, f, "n1", "n2", "n4").UpdateCluster(deadline(t), demo())
			f.Node(name).Heal()
			c := newClient(t, f.ClientConfig("n1", "n2", "n4"))
			if _, err := c.UpdateCluster(deadline(t), demo()); err != nil {
				t.Fatalf("%s, commit %d: %v, then %v", name, commit, failed, err)
			}
			if r := sameRecord(t, f); !slices.Equal(r.Voters.Hosts, sorted(f.Hosts("n1", "n2", "n4"))) || r.Voters.Before != nil {
				t.Errorf("%s, commit %d: %v, then %+v", name, commit, failed, r.Voters)
			}
		}
	}
}

// Voters that all answer and have lost their record, but for a minority: what is left
// is shown, nothing is changed, and the user is told how to go on.
func TestVoters_MajorityReinstalled(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	for _, name := range []string{"n1", "n2"} {
		f.Node(name).SetInstalled(false)
		f.Node(name).SetInstalled(true)
	}
	c := newClient(t, f.ClientConfig())
	snap := snapshotOf(t, c)
	if len(snap.Warnings) != 1 || snap.Quorate() {
		t.Fatalf("%+v", snap)
	}
	wantText(t, errors.New(snap.Warnings[0]), "Fewer than half", f.Node("n1").Addr(), "force_hosts")
	_, err := c.PutPort(deadline(t), "demo", port(8000), true)
	wantText(t, err, "Nothing was changed", "1 agreed", "does not vote before it has caught up")
	cfg := f.ClientConfig("n3")
	cfg.ForceHosts = true
	if _, err := newClient(t, cfg).PutPort(deadline(t), "demo", port(8000), true); err != nil {
		t.Fatal(err)
	}
	sameRecord(t, f)
}

// Somebody has removed the agent's program from most voters: a change installs it, and
// they vote with the record that their disks have. From a minority it takes nothing but
// the node's own update.
func TestVoters_WithoutProgram(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	for _, name := range three[1:] {
		f.Node(name).RemoveProgram()
	}
	strict := f.ClientConfig()
	strict.OnUnreachable = meshclient.UnreachableFail
	must(t)(newClient(t, strict).PutPort(deadline(t), "demo", port(8000), true))
	sameRecord(t, f)

	f.Node("n2").RemoveProgram()
	res, err := newClient(t, f.ClientConfig()).PutPort(deadline(t), "demo", port(8001), true)
	if err != nil {
		t.Fatal(err)
	}
	wantWarning(t, res, "node n2 has no agent any more")
	if f.Node("n2").Installed() {
		t.Error("a change of a port has installed an agent that it does not need")
	}
}

// Where it cannot be installed, the error says so of each voter.
func TestVoters_WithoutProgram_NotInstalled(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	for _, name := range three[1:] {
		f.Node(name).RemoveProgram()
		f.Node(name).SetDiskFull(true)
	}
	_, err := newClient(t, f.ClientConfig()).PutPort(deadline(t), "demo", port(8000), true)
	wantText(t, err, "Nothing was changed", "no routingmesh-agent is installed there", "it could not be installed again", "no space left")
}

// The only voter was reinstalled, and the user names a node that has the record.
func TestVoters_OnlyOneReinstalled(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three, "n1")
	f.Node("n1").SetInstalled(false)
	c := newClient(t, f.ClientConfig("n2"))
	if snap := snapshotOf(t, c); len(snap.Warnings) != 1 {
		t.Errorf("%q", snap.Warnings)
	}
	if _, err := c.PutNode(deadline(t), "demo", f.Node("n1").MeshNode(), false); err != nil {
		t.Fatal(err)
	}
	if r := sameRecord(t, f); !slices.Equal(r.Voters.Hosts, f.Hosts("n2")) {
		t.Errorf("the voters are %+v", r.Voters)
	}
}
