package health

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
)

func FuzzParseKept(f *testing.F) {
	f.Add([]byte(`{"failing":[]}`))
	f.Add([]byte(`{"failing":[{"service":"web","address":"10.255.2.2:80","reason":"connection refused","since":"2024-11-21T16:40:00.5Z"}]}`))
	f.Add([]byte(`{"failing":[{"service":"web","address":"[::1]:80","reason":"no answer within 2s","since":"2024-11-21T16:40:00+01:00"}]}`))
	f.Add([]byte(`{"failing":[{"service":"web","address":"","reason":"x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := parseKept(data)
		if err != nil {
			return
		}
		again, err := parseKept(formatKept(first))
		if err != nil || !maps.EqualFunc(first, again, func(a, b Result) bool {
			return a.Reason == b.Reason && a.Since.Equal(b.Since) && a.Failing == b.Failing
		}) {
			t.Fatalf("%q: %v, then %v, %v", data, first, again, err)
		}
	})
}

func TestWhatIsKeptIsReadAgain(t *testing.T) {
	want := map[compile.Check]Result{
		{Service: "web", Addr: netip.MustParseAddrPort("10.255.2.2:80")}:  {Failing: true, Reason: "status 500, not 200-399", Since: time.Unix(1_700_000_000, 5).UTC()},
		{Service: "mail", Addr: netip.MustParseAddrPort("10.255.1.2:25")}: {Failing: true, Reason: "connection refused", Since: time.Unix(1_700_000_001, 0).UTC()},
	}
	got, err := parseKept(formatKept(want))
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}
