package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// controlled is a fake of a profile, and the Control of it. answer says what it does beyond its versions.
func controlled(t *testing.T, profile string, answer func(w http.ResponseWriter, r *http.Request, path string)) *Control {
	t.Helper()
	root := t.TempDir()
	f := newFake(t, filepath.Join(root, "run/docker.sock"), profile)
	f.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/version" {
			return false
		}
		if r.URL.Path == "/_ping" {
			w.Header().Set("Api-Version", map[string]string{"docker-29": "1.52"}[profile])
			return true
		}
		prefix, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
		if prefix != profiles[profile] {
			t.Errorf("%s speaks %s", profile, prefix)
		}
		answer(w, r, path)
		return true
	}
	all := Controls(root)
	if len(all) != 1 || all[0].Name() != Docker {
		t.Fatalf("%+v", all)
	}
	return all[0]
}

const aContainer = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestControl_Calls: what each call asks for, by the version that each engine speaks.
func TestControl_Calls(t *testing.T) {
	for profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			var asked []string
			c := controlled(t, profile, func(w http.ResponseWriter, r *http.Request, path string) {
				asked = append(asked, r.Method+" "+path+" "+r.URL.RawQuery)
				switch {
				case strings.HasSuffix(path, "/start"):
					w.WriteHeader(http.StatusNotModified)
				case r.Method == http.MethodDelete:
					w.WriteHeader(http.StatusNotFound)
				case strings.HasSuffix(path, "/stop"):
					w.WriteHeader(http.StatusNoContent)
				case path == "containers/create":
					w.WriteHeader(http.StatusConflict)
					reply(w, map[string]string{"message": `Conflict. The container name "/web" is in use`})
				case strings.HasSuffix(path, "logs"):
					w.Write(frame(1, "one\n")) //nolint:errcheck // a test
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			})
			ctx := t.Context()
			if err := c.Start(ctx, "web"); err != nil {
				t.Error(err)
			}
			if err := c.Stop(ctx, "web", 30*time.Second); err != nil {
				t.Error(err)
			}
			if err := c.Remove(ctx, "web"); err != nil {
				t.Error(err)
			}
			if err := c.Create(ctx, "web", &mesh.Task{Image: "i"}, nil, netip.Addr{}); !IsTaken(err) {
				t.Error(err)
			}
			if has, err := c.HasImage(ctx, "reg:5000/a/b:1"); has || err != nil {
				t.Error(has, err)
			}
			if text, err := c.Logs(ctx, "web", 5, 100); string(text) != "one\n" || err != nil {
				t.Errorf("%q %v", text, err)
			}
			want := []string{
				"POST containers/web/start ", "POST containers/web/stop t=30", "DELETE containers/web force=true&v=true", "POST containers/create name=web",
				"GET images/reg:5000/a/b:1/json ", "GET containers/web/logs stderr=1&stdout=1&tail=5",
			}
			if diff := cmp.Diff(want, asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSpecOf: what a task becomes, in no field that is newer than 1.41.
func TestSpecOf(t *testing.T) {
	grace := 30
	spec := specOf(&mesh.Task{
		Image: "web:1", Entrypoint: []string{"/e"}, Command: []string{"a", "b"}, Env: map[string]string{"B": "2", "A": "1=1"}, User: "1:2", WorkDir: "/w",
		Mounts:           []mesh.TaskMount{{Type: "bind", Source: "/s", Target: "/t", ReadOnly: true}, {Type: "tmpfs", Target: "/tmp"}},
		Limits:           mesh.TaskLimits{MilliCPUs: 1500, MemoryBytes: 1 << 20, PIDs: 7},
		StopGraceSeconds: &grace, StopSignal: "SIGQUIT", Labels: map[string]string{"a": "b", mesh.LabelCluster: "other"},
		CapAdd: []string{"NET_ADMIN"}, CapDrop: []string{"ALL"}, ReadOnly: true, Sysctls: map[string]string{"net.core.somaxconn": "9"},
		LogDriver: "json-file", LogOptions: map[string]string{"max-size": "1m"},
		HealthCheck: &mesh.TaskHealthCheck{Test: []string{"CMD", "x"}, IntervalSeconds: 5, TimeoutSeconds: 2, StartPeriodSeconds: 1, Retries: 3},
	}, map[string]string{mesh.LabelCluster: "u"}, netip.MustParseAddr("10.255.0.1"))
	got, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/create.golden.json"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("%s (UPDATE=1 writes it):\n%s", file, diff)
	}
}

func TestParseState(t *testing.T) {
	for profile := range profiles {
		data, err := os.ReadFile(filepath.Join("testdata", profile, "inspect.json"))
		if err != nil {
			t.Fatal(err)
		}
		i, err := parseState(bytes.NewReader(data))
		if err != nil || !i.Running || i.PID == 0 || i.StartedAt == "" || i.Name == "" || strings.Contains(i.Name, "/") || i.Health != "" {
			t.Errorf("%s: %+v, %v", profile, i, err)
		}
	}
	i, err := parseState(strings.NewReader(`{"Id":"` + aContainer + `","Name":"/w","State":{"Status":"exited","ExitCode":137,"OOMKilled":true,"Pid":5,
		"Health":{"Status":"unhealthy","Log":[{"Output":"old"},{"Output":"\u001b[31mno\n"}]}},"Config":{"StopTimeout":3}}`))
	want := Inspected{ID: aContainer, Name: "w", Status: "exited", ExitCode: 137, OutOfMemory: true, Health: "unhealthy", HealthOutput: "no", Grace: 3 * time.Second}
	if diff := cmp.Diff(want, i); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestControl_Errors(t *testing.T) {
	c := controlled(t, "docker-20.10", func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.WriteHeader(http.StatusInternalServerError)
		reply(w, map[string]string{"message": "Get \"https://joe:secret@reg/v2/\": no\n\x1b[31mway"})
	})
	_, err := c.Inspect(t.Context(), "web")
	if err == nil || strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	hangs := controlled(t, "docker-20.10", func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() })
	if _, err := hangs.Inspect(ctx, "web"); err == nil || !strings.Contains(err.Error(), "does not answer in time") {
		t.Errorf("one that hangs: %v", err)
	}
}

// TestPull: the error of a stream that begins with OK, and credentials of root's.
func TestPull(t *testing.T) {
	root := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte("joe:secret"))
	if err := os.MkdirAll(filepath.Join(root, "root/.docker"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "root/.docker/config.json"), []byte(`{"auths":{"reg:5000":{"auth":"`+auth+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var header, query string
	stream := `{"status":"Pulling fs layer"}` + "\r\n"
	c := controlled(t, "docker-20.10", func(w http.ResponseWriter, r *http.Request, _ string) {
		header, query = r.Header.Get("X-Registry-Auth"), r.URL.RawQuery
		io.WriteString(w, stream) //nolint:errcheck // a test
	})
	if err := c.Pull(t.Context(), root, "reg:5000/a/b:1"); err != nil || query != "fromImage=reg%3A5000%2Fa%2Fb&tag=1" {
		t.Errorf("%v, %s", err, query)
	}
	data, _ := base64.URLEncoding.DecodeString(header)
	if string(data) != `{"password":"secret","serveraddress":"reg:5000","username":"joe"}` {
		t.Errorf("%s", data)
	}
	stream += `{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}`
	if err := c.Pull(t.Context(), root, "web"); err == nil || err.Error() != "manifest unknown" || header != "" {
		t.Errorf("%v, %s", err, header)
	}
}

func TestSplitImage(t *testing.T) {
	for ref, want := range map[string][4]string{
		"web":                  {"web", "latest", "docker.io", "web"},
		"web:1":                {"web", "1", "docker.io", "web"},
		"me/web":               {"me/web", "latest", "docker.io", "me/web"},
		"reg:5000/web":         {"reg:5000/web", "latest", "reg:5000", "web"},
		"reg.example/a/web:1":  {"reg.example/a/web", "1", "reg.example", "a/web"},
		"localhost/web:1":      {"localhost/web", "1", "localhost", "web"},
		"r.io/w@sha256:00ff":   {"r.io/w", "sha256:00ff", "r.io", "w"},
		"r.io/w:1@sha256:00ff": {"r.io/w", "sha256:00ff", "r.io", "w"},
	} {
		name, tag := splitImage(ref)
		registry, path := registryOf(ref)
		if got := [4]string{name, tag, registry, path}; got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
}

func frame(stream byte, text string) []byte {
	head := make([]byte, 8)
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return slices.Concat(head, []byte(text))
}

func TestDemultiplex(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"nothing":               {"", ""},
		"both streams":          {string(frame(1, "out\n")) + string(frame(2, "err\n")), "out\nerr\n"},
		"an empty frame":        {string(frame(1, "")) + string(frame(1, "a")), "a"},
		"a terminal":            {"hello\nworld and more\n", "hello\nworld and more\n"},
		"a short one":           {"hi\n", "hi\n"},
		"cut in a head":         {string(frame(1, "a")) + "\x01\x00", "a"},
		"cut in a frame":        {string(frame(1, "abc"))[:9], "a"},
		"what follows no frame": {string(frame(1, "a")) + "terminal text", "aterminal text"},
	} {
		got, err := io.ReadAll(demultiplex(strings.NewReader(test.in)))
		if string(got) != test.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
	last, err := lastOf(strings.NewReader(strings.Repeat("x", 100_000)+"end"), 5)
	if string(last) != "xxend" || err != nil {
		t.Errorf("%q, %v", last, err)
	}
}

// FuzzDemultiplex: it ends, and makes nothing up.
func FuzzDemultiplex(f *testing.F) {
	f.Add([]byte("plain text"))
	f.Add(append(frame(1, "one"), frame(2, "two")...))
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'a'})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := io.ReadAll(demultiplex(bytes.NewReader(data)))
		if err != nil || len(got) > len(data) {
			t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
		}
		whole, err := io.ReadAll(demultiplex(bytes.NewReader(frame(1, string(data)))))
		if err != nil || !bytes.Equal(whole, data) {
			t.Errorf("in a frame: %q, %v", whole, err)
		}
	})
}

// FuzzReadProgress: whatever an engine writes, a pull ends, with a refusal or without.
func FuzzReadProgress(f *testing.F) {
	f.Add([]byte(`{"status":"a"}` + "\n" + `{"error":"b"}`))
	f.Add([]byte("error\nrror{}\n\n"))
	f.Add([]byte(strings.Repeat("x", maxProgress+1) + `{"error":"b"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := readProgress(bytes.NewReader(data), func() {})
		if _, ok := err.(*refusal); err != nil && !ok { //nolint:errorlint // it is not wrapped
			t.Errorf("%T %v", err, err)
		}
	})
}
