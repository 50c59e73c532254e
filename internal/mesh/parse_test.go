package mesh

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	must(t, err)
	return data
}

// The record is stored on nodes and read by other versions of the agent: a
// change of this file is a change of RecordFormat.
func TestTheRecordsJSONIsAsStored(t *testing.T) {
	r := demoRecord(t)
	r.Generation = 4
	golden := filepath.Join("testdata", "record.json")
	got := string(mustJSON(t, r)) + "\n"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		must(t, os.WriteFile(golden, []byte(got), 0o600))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if got != string(want) {
		t.Errorf("the record's JSON changed (UPDATE_GOLDEN=1 rewrites %s):\n%s", golden, got)
	}
}

func TestARecordFromOutsideIsChecked(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"another format":            {`"format": 1`, `"format": 2`, "format 2"},
		"no uid":                    {`"uid": "uid-1"`, `"uid": ""`, "no uid"},
		"a field that is not known": {`"nodes": {`, `"nodes": null, "x": {`, `unknown field "x"`},
		"a node under two names":    {`"name": "n2"`, `"name": "n9"`, "malformed"},
		"a block outside":           {`"block": "10.255.1.0/24"`, `"block": "10.254.1.0/24"`, "none of the pool"},
		"a block twice":             {`"block": "10.255.1.0/24"`, `"block": "10.255.0.0/24"`, "share the block"},
		"a port under two names":    {`"published": 8080`, `"published": 8081`, "malformed"},
		"a port without service":    {`"service": "web"`, `"service": "gone"`, "no service"},
		"a port that is no port":    {`"8080/tcp": {`, `"http": {`, "no published port"},
		"next_block out of range":   {`"next_block": 3`, `"next_block": 256`, "next_block"},
	} {
		t.Run(name, func(t *testing.T) {
			text := string(mustJSON(t, demoRecord(t)))
			if !strings.Contains(text, c.old) {
				t.Fatalf("the record has no %s", c.old)
			}
			_, err := ParseRecord([]byte(strings.Replace(text, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestIDsAreMadeAndTakenApart(t *testing.T) {
	k := PortKey{Port: 8080, Protocol: TCP}
	id := PortID(ServiceID("demo", "web"), k)
	if id != "demo/web/8080/tcp" {
		t.Errorf("got %s", id)
	}
	cluster, service, got, err := SplitPortID(id)
	if err != nil || cluster != "demo" || service != "web" || got != k {
		t.Errorf("%s %s %v %v", cluster, service, got, err)
	}
	for _, bad := range []string{"", "demo", "demo/web", "demo/web/8080", "demo/web/8080/icmp", "demo/web/08/tcp", "a/b/1/tcp/x", "Demo/web/1/tcp", "/web/1/tcp"} {
		if _, _, _, err := SplitPortID(bad); err == nil {
			t.Errorf("%q was taken for a port id", bad)
		}
	}
}

func FuzzParsePortKey(f *testing.F) {
	for _, s := range []string{"8080/tcp", "0/udp", "65536/tcp", "+1/tcp", "1/", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := ParsePortKey(s); err == nil && k.String() != s {
			t.Errorf("%q was read as %q", s, k)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "record.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"format":1,"uid":"u","nodes":{},"services":{},"ports":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRecord(data)
		if err != nil {
			return
		}
		// what was accepted must be usable: no panic, and stable under its own JSON
		again, err := ParseRecord(mustJSON(t, r.Next()))
		if err != nil {
			t.Fatalf("an accepted record was refused after a round trip: %v", err)
		}
		for _, s := range again.Services {
			again.LiveEndpoints(s)
		}
		_ = again.MTU()
	})
}
