package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// answers has the fake answer everything with this.
func (f *fake) answers(status int, body string) {
	f.override = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		io.WriteString(w, body) //nolint:errcheck // the client may be gone
		return true
	}
}

func TestFault_Text(t *testing.T) {
	version := `{"Version":"99.0","ApiVersion":"%s","MinAPIVersion":"%s"}`
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"too new":      {200, fmt.Sprintf(version, "1.70", "1.60"), `its version "99.0" speaks the API from 1.60 to 1.70, which is newer than this agent's: 1.24 to 1.52. Update the provider, and the agents with it.`},
		"too old":      {200, fmt.Sprintf(version, "1.20", "1.12"), `its version "99.0" speaks the API up to 1.20, and this agent from 1.24. Update the engine.`},
		"no sense":     {200, fmt.Sprintf(version, "1.30", "1.50"), `its version "99.0" speaks the API from 1.50 to 1.30`},
		"HTML":         {200, "<html>\n<body>\x1b[2JIt works!", `it answers "<html> <body>It works!" where JSON of the Docker Engine API is expected. See "systemctl status docker.service".`},
		"nothing":      {200, "", "it answers nothing where JSON of the Docker Engine API is expected"},
		"no version":   {200, "{}", "it answers nothing where a version of the Docker Engine API is expected"},
		"bad version":  {200, fmt.Sprintf(version, "new", ""), `it answers "new" where a version`},
		"a refusal":    {500, `{"message":"disk \u202efull"}`, `it answers with HTTP status 500 and "disk full"`},
		"HTML refusal": {403, "<h1>no</h1>", `it answers with HTTP status 403 and "<h1>no</h1>"`},
		"a redirect":   {302, "", "it answers with HTTP status 302."},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.docker("docker-28").answers(test.status, test.body)
			h.begin()
			h.eventually("a fault", func() bool { return len(h.Faults()) > 0 })
			if !h.Ready() {
				t.Error("not ready, though there is a fault")
			}
			got := h.Faults()[0]
			want := "The containers of docker are not known while it cannot be asked on /run/docker.sock: " + test.want
			if !strings.HasPrefix(got.Text, want) || got.Engine != "docker" || got.Socket != "/run/docker.sock" || plain.Text(got.Text) != got.Text {
				t.Errorf("got  %+v\nwant %s", got, want)
			}
		})
	}
}

// TestFault_NobodyListens_ComesAndGoes: the file is there, but no engine. It is logged once, and
// goes as soon as the engine answers.
func TestFault_NobodyListens_ComesAndGoes(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(h.root, "run/docker.sock")
	f := newFake(t, file, "docker-28")
	f.close()
	listener, err := net.Listen("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
	h.begin()
	h.eventually("a fault", func() bool { return len(h.Faults()) > 0 })
	if text := h.Faults()[0].Text; !strings.Contains(text, ": connection refused. See ") {
		t.Error(text)
	}
	os.Remove(file)
	f.listen()
	h.eventually("no fault", func() bool { return len(h.Faults()) == 0 && h.Ready() })
	if n, m := h.log.count("cannot be asked"), h.log.count("answers again"); n != 1 || m > 1 {
		t.Errorf("logged %d and %d times", n, m)
	}
}

// TestFault_TextChanges_Stays: a text of the engine's that differs from try to try does not.
func TestFault_TextChanges_Stays(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	n := 0
	f.override = func(w http.ResponseWriter, _ *http.Request) bool {
		f.change(func() { n++; w.WriteHeader(500); fmt.Fprintf(w, "error %d", n) })
		return true
	}
	h.begin()
	h.eventually("a fault", func() bool { return len(h.Faults()) > 0 })
	text := h.Faults()[0].Text
	asked := f.count("")
	h.eventually("more attempts", func() bool { return f.count("") > asked+2 })
	if h.Faults()[0].Text != text || h.log.count("cannot be asked") != 1 {
		t.Errorf("first %s\nthen %s", text, h.Faults()[0].Text)
	}
}

// TestFault_OneFailure_None: it may be a restart.
func TestFault_OneFailure_None(t *testing.T) {
	h := newHost(t)
	f := h.docker("docker-28")
	n := 0
	f.override = func(w http.ResponseWriter, _ *http.Request) (fails bool) {
		f.change(func() { n++; fails = n == 1 })
		if fails {
			w.WriteHeader(500)
		}
		return fails
	}
	h.begin()
	h.eventually("ready", h.Ready)
	if h.log.count("cannot be asked") != 0 {
		t.Error("a fault after one failure")
	}
}

// TestBody_TooLarge_Fault: what was known stays.
func TestBody_TooLarge_Fault(t *testing.T) {
	h := newHost(t)
	h.times.request = time.Minute // it takes long with -race
	f := h.docker("docker-28")
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	h.begin()
	h.runs(pid)
	f.change(func() {
		f.override = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/containers/json") {
				return false
			}
			io.WriteString(w, "[") //nolint:errcheck // the client goes before the end
			row := []byte(`{"Id":"x","Command":"` + strings.Repeat("x", 1<<20) + `"},`)
			for range 17 {
				w.Write(row) //nolint:errcheck // as above
			}
			return true
		}
	})
	f.event(idA, "rename")
	h.eventually("a fault", func() bool { return len(h.Faults()) > 0 })
	if text := h.Faults()[0].Text; !strings.Contains(text, "its answer has more than 16 MiB") {
		t.Error(text)
	}
	h.runs(pid)
}

func TestRequest_TimesOut_Fault(t *testing.T) {
	h := newHost(t)
	h.times.request = 30 * time.Millisecond
	f := h.docker("docker-28")
	f.override = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	h.begin()
	h.eventually("a fault", func() bool { return len(h.Faults()) > 0 })
	if text := h.Faults()[0].Text; !strings.Contains(text, "it does not answer in time") {
		t.Error(text)
	}
}

func TestReason_Known(t *testing.T) {
	for want, err := range map[string]error{
		"permission denied": &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)},
		errCut.Error():      io.ErrUnexpectedEOF,
		errPeer.Error():     fmt.Errorf("Get: %w", errPeer),
		"it answers nothing where HTTP is expected": errors.New("net/http: HTTP/1.x transport connection broken: malformed HTTP response \"SSH-2.0\""),
	} {
		if got := reason(err).Error(); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
	s := source{"podman of user 1000", "/run/user/1000/podman/podman.sock", 1000}
	if got := sentence(s, syscall.EACCES); !strings.Contains(got, "SELinux") {
		t.Error(got)
	}
	if got := sentence(s, syscall.ECONNREFUSED); !strings.Contains(got, `"systemctl --user status podman.socket" as the user with ID 1000`) {
		t.Error(got)
	}
}
