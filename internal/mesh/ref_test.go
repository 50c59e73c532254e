package mesh

import (
	"encoding/json"
	"testing"
)

func TestRef_Text(t *testing.T) {
	for text, want := range map[string]struct {
		ref   Ref
		words string
	}{
		"cluster":         {ClusterRef, "the cluster"},
		"node/n1":         {NodeRef("n1"), "node n1"},
		"service/web":     {ServiceRef("web"), "service web"},
		"network/back":    {NetworkRef("back"), "network back"},
		"port/8080/tcp":   {PortRef(PortKey{Port: 8080, Protocol: TCP}), "published port 8080/tcp"},
		"port/53/udp":     {PortRef(PortKey{Port: 53, Protocol: UDP}), "published port 53/udp"},
		"host/10.0.0.1":   {HostRef("10.0.0.1"), "host 10.0.0.1"},
		"host/a@b:22/x/y": {HostRef("a@b:22/x/y"), "host a@b:22/x/y"},
	} {
		if got, err := ParseRef(text); err != nil || got != want.ref || got.String() != text || got.Words() != want.words {
			t.Errorf("%s: %v (%q, %q), %v", text, got, got, got.Words(), err)
		}
	}
}

func TestParseRef_Invalid(t *testing.T) {
	for _, text := range []string{
		"", "/", "n1", "node", "node/", "node/N1", "node/n1/x", "/n1", "cluster/", "cluster/demo", "service/-", "port/8080", "port/0/tcp", "port/8080/sctp",
		"port/08080/tcp", "host/", "network/", "network/Back", "listener/web", "Node/n1",
	} {
		if r, err := ParseRef(text); err == nil || r != (Ref{}) {
			t.Errorf("%q: %v, %v", text, r, err)
		}
	}
}

// What is on the wire and in an agent's answers stays what it was when a reference
// was a string.
func TestRef_JSON(t *testing.T) {
	for want, value := range map[string]any{
		`{"object":"node/n1","text":"Gone."}`:                                  Problem{Object: NodeRef("n1"), Text: "Gone."},
		`{"object":"cluster","attribute":"address_pool","text":"Overlaps."}`:   Problem{Object: ClusterRef, Attribute: "address_pool", Text: "Overlaps."},
		`{"code":"path","object":"port/8080/tcp","text":"Lost."}`:              Warning{Code: WarnPath, Object: PortRef(PortKey{Port: 8080, Protocol: TCP}), Text: "Lost."},
		`{"objects":["cluster","node/n1","service/web","port/8080/tcp"]}`:      RepairRequest{Objects: []Ref{ClusterRef, NodeRef("n1"), ServiceRef("web"), PortRef(PortKey{Port: 8080, Protocol: TCP})}},
		`{"object":"","text":"Of nothing."}`:                                   Problem{Text: "Of nothing."},
		`{"object":"listener/a/b","text":"Of a kind that is not known here."}`: Problem{Object: Ref{"listener", "a/b"}, Text: "Of a kind that is not known here."},
	} {
		got, err := json.Marshal(value)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	for text, want := range map[string]Ref{
		`"cluster"`: ClusterRef, `"node/n1"`: NodeRef("n1"), `"port/53/udp"`: PortRef(PortKey{Port: 53, Protocol: UDP}), `"listener/a/b"`: {"listener", "a/b"}, `""`: {},
	} {
		var got Ref
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %#v, %v", text, got, err)
		}
	}
}

func TestRecord_Has(t *testing.T) {
	r := &Record{Nodes: map[string]*Node{"n1": {}}, Services: map[string]*Service{"web": {}}, Ports: map[PortKey]*PublishedPort{{Port: 80, Protocol: TCP}: {}}}
	for text, want := range map[string]bool{
		"cluster": true, "node/n1": true, "service/web": true, "port/80/tcp": true,
		"node/web": false, "service/n1": false, "port/80/udp": false, "host/n1": false,
	} {
		if got := r.Has(MustParseRef(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	if r.Has(Ref{}) || r.Has(Ref{KindPort, "web"}) || r.Has(Ref{"listener", "n1"}) {
		t.Error("the record has what cannot be in one")
	}
}

// FuzzRef has every text that is a Ref, and every Ref that comes off the wire, be
// written as it was read.
func FuzzRef(f *testing.F) {
	for _, text := range []string{"cluster", "node/n1", "service/web", "port/8080/tcp", "host/::1", "", "/", "node/", "a/b/c", "cluster/x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRef(text)
		if err == nil && r.String() != text {
			t.Errorf("%q was read as %q", text, r)
		}
		var lenient, again Ref
		if lenient.UnmarshalText([]byte(text)) != nil {
			t.Errorf("%q is refused", text)
		}
		if err == nil && lenient != r {
			t.Errorf("%q is %v and %v", text, r, lenient)
		}
		if written, _ := lenient.MarshalText(); again.UnmarshalText(written) != nil || again != lenient || again.Compare(lenient) != 0 {
			t.Errorf("%#v was written as %q and read as %#v", lenient, written, again)
		}
	})
}
