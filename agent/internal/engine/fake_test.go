package engine

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// profiles are the engines whose answers are in testdata, with the version of the API that is to be spoken.
var profiles = map[string]string{
	"docker-20.10": "1.41", "docker-28": "1.41", "docker-29": "1.44", "podman-4.3": "1.41", "podman-5.8": "1.41",
}

// fakeContainer is what a fake says of a container.
type fakeContainer struct {
	id, name string
	pid      int
	starts   int // a number that stands for StartedAt
	network  string
	labels   map[string]string
	stopped  bool // not running, when inspected
}

// fake is an engine on a unix socket.
type fake struct {
	t        *testing.T
	file     string
	profile  string
	listener net.Listener
	server   *http.Server

	mu         sync.Mutex
	containers []*fakeContainer
	streams    map[chan string]bool
	requests   []string
	hang       map[string]bool // inspects that get no answer
	// override answers a request in place of the fake.
	override func(w http.ResponseWriter, r *http.Request) bool
}

func newFake(t *testing.T, file, profile string) *fake {
	f := &fake{t: t, file: file, profile: profile, streams: map[chan string]bool{}, hang: map[string]bool{}}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	f.listen()
	t.Cleanup(f.close)
	return f
}

func (f *fake) listen() {
	listener, err := net.Listen("unix", f.file)
	if err != nil {
		f.t.Fatal(err)
	}
	f.listener, f.server = listener, &http.Server{Handler: f}
	go f.server.Serve(listener) //nolint:errcheck // it ends with the server
}

// close ends the engine: the socket's file goes, and every connection.
func (f *fake) close() {
	f.listener.Close() // the server may not have it yet
	f.server.Close()
}

func (f *fake) golden(name string, into any) {
	data, err := os.ReadFile(filepath.Join("testdata", f.profile, name))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		f.t.Error(err)
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.URL.Path)
	override := f.override
	f.mu.Unlock()
	if override != nil && override(w, r) {
		return
	}
	var version map[string]any
	f.golden("version.json", &version)
	if r.URL.Path == "/version" {
		reply(w, version)
		return
	}
	prefix, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	asked, _ := parseAPIVersion(prefix)
	newest, _ := parseAPIVersion(version["ApiVersion"].(string))
	oldest, _ := parseAPIVersion(version["MinAPIVersion"].(string))
	if asked.less(oldest) || newest.less(asked) {
		w.WriteHeader(http.StatusBadRequest)
		reply(w, map[string]string{"message": "client version " + prefix + " is too old"})
		return
	}
	switch path {
	case "events":
		f.serveEvents(w, r)
	case "containers/json":
		f.serveList(w, r)
	default:
		f.serveInspect(w, r, strings.TrimSuffix(strings.TrimPrefix(path, "containers/"), "/json"))
	}
}

func reply(w http.ResponseWriter, value any) { json.NewEncoder(w).Encode(value) } //nolint:errcheck // the client may be gone

func (f *fake) serveList(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("filters") != `{"status":["running","paused"]}` {
		f.t.Errorf("list with %s", r.URL.RawQuery)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []any{}
	for _, c := range f.containers {
		var rows []map[string]any
		f.golden("list.json", &rows)
		rows[0]["Id"] = c.id
		if c.name != "" {
			rows[0]["Names"] = []string{"/" + c.name}
		}
		if c.labels != nil {
			rows[0]["Labels"] = c.labels
		}
		list = append(list, rows[0])
	}
	reply(w, list)
}

func (f *fake) serveInspect(w http.ResponseWriter, r *http.Request, id string) {
	f.mu.Lock()
	i := slices.IndexFunc(f.containers, func(c *fakeContainer) bool { return c.id == id })
	if f.hang[id] {
		f.mu.Unlock()
		<-r.Context().Done()
		return
	}
	defer f.mu.Unlock()
	if i < 0 {
		w.WriteHeader(http.StatusNotFound)
		reply(w, map[string]string{"message": "No such container: " + id})
		return
	}
	c := f.containers[i]
	var answer map[string]any
	f.golden("inspect.json", &answer)
	state := answer["State"].(map[string]any)
	state["Pid"], state["StartedAt"], state["Running"] = c.pid, fmt.Sprint("start ", c.starts), !c.stopped
	if c.network != "" {
		answer["HostConfig"].(map[string]any)["NetworkMode"] = c.network
	}
	reply(w, answer)
}

func (f *fake) serveEvents(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("filters") != `{"type":["container"]}` {
		f.t.Errorf("events with %s", r.URL.RawQuery)
	}
	lines := make(chan string, 100)
	f.mu.Lock()
	f.streams[lines] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.streams, lines)
	}()
	if f.profile != "podman-4.3" { // that one begins its answer with the first event, as an engine may
		w.(http.Flusher).Flush()
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case line := <-lines:
			fmt.Fprintln(w, line)
			w.(http.Flusher).Flush()
		}
	}
}

// set makes these the containers.
func (f *fake) set(containers ...*fakeContainer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.containers = containers
}

// change changes what the engine says.
func (f *fake) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// event sends an event of a container to every stream.
func (f *fake) event(id, action string) {
	var e map[string]any
	f.golden("event.json", &e)
	e["Action"] = action
	e["Actor"].(map[string]any)["ID"] = id
	line, _ := json.Marshal(e)
	f.send(string(line))
}

func (f *fake) send(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for stream := range f.streams {
		stream <- line
	}
}

// count is how often a path was asked for that ends so.
func (f *fake) count(suffix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range f.requests {
		if strings.HasSuffix(path, suffix) {
			n++
		}
	}
	return n
}

func (f *fake) subscribers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.streams)
}
