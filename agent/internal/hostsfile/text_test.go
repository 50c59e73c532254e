package hostsfile

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/names"
)

var hosts = []names.Host{
	{VIP: netip.MustParseAddr("10.255.255.4"), Name: "api.demo.internal", Short: []string{"api", "shared"}},
	{VIP: netip.MustParseAddr("10.255.255.2"), Name: "web.demo.internal", Short: []string{"web", "www"}},
}

const (
	first = "# BEGIN routingmesh-agent (services in networks; the agent keeps this block as the cluster's record asks)\n"
	lines = "10.255.255.4\tapi.demo.internal api shared\n10.255.255.2\tweb.demo.internal web www\n"
	last  = "# END routingmesh-agent\n"
	block = first + lines + last
)

func put(t *testing.T, content string, hosts []names.Host, hostname string) string {
	t.Helper()
	parsed, err := parse(content)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.with(hosts, hostname)
}

func TestText(t *testing.T) {
	const before = "127.0.0.1 localhost\n"
	opened := strings.Replace(first, ")\n", "; the line before had no end)\n", 1)
	for name, tt := range map[string]struct{ content, hostname, want string }{
		"the first block":            {before, "", before + block},
		"there already":              {before + block, "", before + block},
		"with lines after it":        {before + block + "# mine\n", "", before + block + "# mine\n"},
		"an empty file":              {"", "", block},
		"no end of a line":           {"127.0.0.1 localhost", "", before + opened + lines + last},
		"… and there already":        {before + opened + lines + last, "", before + opened + lines + last},
		"edited":                     {before + first + "1.2.3.4 web\n" + last + "# mine\n", "", before + block + "# mine\n"},
		"an edited mark":             {before + begin + "\n" + end, "", before + block},
		"a name that another has":    {"10.0.0.1 x WEB # api\n" + block, "", "10.0.0.1 x WEB # api\n" + strings.Replace(block, " web www", " www", 1)},
		"… after the block":          {block + "10.0.0.1\twww", "", strings.Replace(block, " web www", " web", 1) + "10.0.0.1\twww"},
		"the host is called like it": {before, "api.example.com", before + strings.Replace(block, "internal api ", "internal ", 1)},
	} {
		if diff := cmp.Diff(tt.want, put(t, tt.content, hosts, tt.hostname)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestText_Gone: without a block the file is what it was.
func TestText_Gone(t *testing.T) {
	for _, content := range []string{"", "\n", "127.0.0.1 localhost", "127.0.0.1 localhost\n", "a\r\nb", "\n\n", "x\n\n"} {
		with := put(t, content, hosts, "")
		if got := put(t, with, nil, ""); got != content {
			t.Errorf("%q became %q", content, got)
		}
		want := content
		if content != "" && !strings.HasSuffix(content, "\n") {
			want += "\n" // else the two lines were one
		}
		if got := put(t, with+"mine\n", nil, ""); got != want+"mine\n" {
			t.Errorf("%q with a line after it became %q", content, got)
		}
	}
}

// TestText_Marks: where a mark is missing, nothing is known to be ours.
func TestText_Marks(t *testing.T) {
	for _, content := range []string{first, last, last + first, first + first + last, block + block, first + lines} {
		if _, err := parse("127.0.0.1 localhost\n" + content + "1.2.3.4 mine\n"); err == nil || !hasMarks(content) {
			t.Errorf("taken for a block:\n%s", content)
		}
	}
	if hasMarks("127.0.0.1 localhost\n # BEGIN routingmesh-agent\n") {
		t.Error("a mark that does not begin its line")
	}
}

// FuzzText: whatever is in the file, nothing of it changes, and when the block goes it is
// what it was.
func FuzzText(f *testing.F) {
	for _, content := range []string{"", "127.0.0.1 localhost", "127.0.0.1 localhost\n", block, "x\n" + block + "y", first, last + first} {
		f.Add(content, "api")
	}
	f.Fuzz(func(t *testing.T, content, hostname string) {
		parsed, err := parse(content)
		if err != nil {
			return
		}
		plain := parsed.without()
		if parsed.block == "" && plain != content {
			t.Errorf("%q became %q", content, plain)
		}
		with := put(t, plain, hosts, hostname)
		if again := put(t, with, hosts, hostname); again != with {
			t.Errorf("%q, the second time %q", with, again)
		}
		if !strings.HasPrefix(with, plain) {
			t.Errorf("%q became %q", plain, with)
		}
		if got := put(t, with, nil, hostname); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
		if edited, err := parse(parsed.with(hosts, hostname)); err != nil || edited.after != parsed.after {
			t.Errorf("%q after the block: %v", edited.after, err)
		}
	})
}
