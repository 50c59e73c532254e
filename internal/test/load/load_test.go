package load

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	want := Target{"udp", netip.MustParseAddrPort("192.168.200.10:8080"), 150 * time.Millisecond}
	if got, err := ParseTarget(want.String()); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"", "tcp", "sctp/192.168.200.10:8080/1s", "tcp/192.168.200.10/1s", "tcp/192.168.200.10:8080/0s", "tcp/192.168.200.10:8080/often"} {
		if got, err := ParseTarget(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
	if got := Through([]Target{want, {"tcp", netip.MustParseAddrPort("192.168.200.11:8080"), 1}}, "192.168.200.10"); len(got) != 1 || got[0] != want {
		t.Errorf("through the first node: %v", got)
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	a := Target{"tcp", netip.MustParseAddrPort("192.168.200.10:8080"), 100 * time.Millisecond}
	b := Target{"udp", netip.MustParseAddrPort("192.168.200.11:8080"), 500 * time.Millisecond}
	other := Target{"tcp", netip.MustParseAddrPort("192.168.200.12:8080"), time.Second}
	asked := func(n int) map[string]int { return map[string]int{a.Name(): n, b.Name(): 2 * n, other.Name(): n} }
	from, to := Report{At: 10, Asked: asked(100)}, Report{At: 20, Asked: asked(150)}
	requests := []Request{
		{Target: a.Name(), At: 9.9, Error: "before"},
		{Target: b.Name(), At: 12, Error: "refused"},
		{Target: a.Name(), At: 13, Error: "timeout"},
		{Target: a.Name(), At: 12.5, Error: "timeout"}, // began earlier, ended later
		{Target: other.Name(), At: 14, Error: "not asked for"},
		{Target: a.Name(), At: 20, Error: "after"},
	}
	got := Between(from, to, requests, a, b)
	if want := (Outage{Seconds: 0.6, Failed: 3, Asked: 150, First: b.Name() + ": refused"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Between(from, to, requests[:1], a); got != (Outage{Asked: 50}) {
		t.Errorf("nothing failed: %+v", got)
	}
}

func TestFailing(t *testing.T) {
	t.Parallel()
	r := Report{Failures: []Request{{At: 3}, {At: 1.5}, {At: 2}, {At: 9, Keep: true}}}
	if got := r.Failing(); got != 1.5 {
		t.Errorf("got %v", got)
	}
	if got := (Report{}).Failing(); got != 0 {
		t.Errorf("without failures: %v", got)
	}
}

// TestSay talks to a stand-in for the load.
func TestSay(t *testing.T) {
	t.Parallel()
	start := func(script string) *Generator {
		t.Helper()
		l, err := Start(exec.CommandContext(t.Context(), "sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Stop)
		return l
	}
	l := start(`echo Welcome to the lab
while read -r number word; do case $word in
  mark) echo '{"answer":{"number":'$number',"word":"mark","new":{"requests":3}}}';;
  *) echo '{"answer":{"number":'$number',"error":"no such word"}}';; esac; done`)
	for range 2 {
		if r, err := l.Say(t.Context(), WordMark); err != nil || r.New.Requests != 3 {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	if _, err := l.Say(t.Context(), "sing", "a song"); err == nil || !strings.Contains(err.Error(), `does not take "sing a song": no such word`) {
		t.Errorf("got %v", err)
	}
	dead := start("echo it is dead >&2")
	<-dead.gone
	if _, err := dead.Say(t.Context(), WordMark); err == nil {
		t.Error("no error of a load that has ended")
	}
	silent := start("cat > /dev/null")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := silent.Say(ctx, WordMark); err == nil || !strings.Contains(err.Error(), `no answer of the load to "mark"`) {
		t.Errorf("got %v", err)
	}
}

// TestSay_LateAnswer_Dropped: an answer that nobody waits for any more is not taken for that of the next word.
func TestSay_LateAnswer_Dropped(t *testing.T) {
	t.Parallel()
	g, err := Start(exec.CommandContext(t.Context(), "sh", "-c", `read -r first; read -r second
echo '{"answer":{"number":1,"word":"late"}}'
echo '{"answer":{"number":2,"word":"mark"}}'
cat > /dev/null`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.Say(ctx, WordServed); err == nil {
		t.Error("the first word was answered")
	}
	if r, err := g.Say(t.Context(), WordMark); err != nil || r.Word != WordMark {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestAwait: requests are seen as they come, and the end of the program is an error that says what it said.
func TestAwait(t *testing.T) {
	t.Parallel()
	g, err := Start(exec.CommandContext(t.Context(), "sh", "-c", `echo '{"request":{"target":"tcp/a:1","error":"refused"}}'
read -r word
echo '{"request":{"target":"tcp/a:1"}}'
echo it is over >&2`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	has := func(n int) func([]Request) bool { return func(all []Request) bool { return len(all) == n } }
	if err := g.Await(t.Context(), has(1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := g.Await(ctx, has(2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if failed := g.failed(5); len(failed) != 1 || failed[0].Error != "refused" {
		t.Errorf("got %+v", failed)
	}
	g.Stop()
	if err := g.Await(t.Context(), has(2)); err != nil {
		t.Errorf("its last line was not seen: %v", err)
	}
	if err := g.Await(t.Context(), has(3)); err == nil || !strings.Contains(err.Error(), "it is over") {
		t.Errorf("got %v", err)
	}
}

// TestOutage_Plus: counts add up, the longer time stays.
func TestOutage_Plus(t *testing.T) {
	t.Parallel()
	a, b := Outage{Seconds: 1, Failed: 2, Asked: 10}, Outage{Seconds: 0.5, Failed: 1, Asked: 20, First: "refused"}
	if got, want := a.Plus(b), (Outage{Seconds: 1, Failed: 3, Asked: 30, First: "refused"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestCommand: what a shell gets.
func TestCommand(t *testing.T) {
	t.Parallel()
	a := Target{HTTP, netip.MustParseAddrPort("192.168.200.10:8080"), 100 * time.Millisecond}
	if got := Command("/run/load", true, a); got != "/run/load probe -all http/192.168.200.10:8080/100ms" {
		t.Errorf("got %q", got)
	}
	if got := Command("/run/load", false, a, a); got != "/run/load probe http/192.168.200.10:8080/100ms http/192.168.200.10:8080/100ms" {
		t.Errorf("got %q", got)
	}
}

// FuzzParseLine: whatever comes over the login, a line is one of the two that there are, or none.
func FuzzParseLine(f *testing.F) {
	for _, line := range []string{`{"answer":{"number":1,"word":"mark","at":0.1,"asked":{"a":1}}}`, `{"request":{"target":"tcp/192.0.2.1:80","at":0.1}}`, "{}", "Welcome"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if l, is := parseLine([]byte(line)); is && (l.Answer == nil) == (l.Request == nil) {
			t.Errorf("%+v of %q", l, line)
		}
	})
}

// FuzzParseTarget: a target that is read is written the same.
func FuzzParseTarget(f *testing.F) {
	f.Add("tcp/192.168.200.10:8080/50ms")
	f.Fuzz(func(t *testing.T, text string) {
		target, err := ParseTarget(text)
		if err != nil {
			return
		}
		if again, err := ParseTarget(target.String()); err != nil || again != target {
			t.Errorf("%q is %v, and that is %v, %v", text, target, again, err)
		}
	})
}
