package engine

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// at makes a socket on the host.
func (h *host) at(path string) {
	h.t.Helper()
	file := filepath.Join(h.root, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		h.t.Fatal(err)
	}
	listener, err := net.Listen("unix", file)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { listener.Close() })
}

func (h *host) link(to, path string) {
	h.t.Helper()
	file := filepath.Join(h.root, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Symlink(to, file); err != nil {
		h.t.Fatal(err)
	}
}

func TestSources(t *testing.T) {
	for name, test := range map[string]struct {
		make func(*host)
		want []source
	}{
		"all": {func(h *host) {
			h.at("run/docker.sock")
			h.at("var/run/docker.sock")
			h.at("run/podman/podman.sock")
			h.at("run/user/1000/podman/podman.sock")
			h.at("run/user/0/podman/podman.sock")
		}, []source{
			{"podman", "/run/podman/podman.sock", anyUser}, {"docker", "/run/docker.sock", anyUser}, {"docker", "/var/run/docker.sock", anyUser},
			{"podman of user 0", "/run/user/0/podman/podman.sock", 0}, {"podman of user 1000", "/run/user/1000/podman/podman.sock", 1000},
		}},
		"/var/run is /run": {func(h *host) {
			h.at("run/docker.sock")
			h.link("../run", "var/run")
		}, []source{{"docker", "/run/docker.sock", anyUser}}},
		"podman-docker": {func(h *host) {
			h.at("run/podman/podman.sock")
			h.link("podman/podman.sock", "run/docker.sock")
		}, []source{{"podman", "/run/podman/podman.sock", anyUser}}},
		"a user's link to Docker's": {func(h *host) {
			h.at("run/docker.sock")
			h.link("../../../docker.sock", "run/user/1000/podman/podman.sock")
		}, []source{{"docker", "/run/docker.sock", anyUser}}},
		"no sockets": {func(h *host) {
			h.at("run/user/-1/podman/podman.sock")
			h.at("run/user/1000/podman/podman.sock/file")
			h.link("nowhere", "run/docker.sock")
			h.link("/proc/self/stat", "var/run/docker.sock")
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			test.make(h)
			if got := h.sources(); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}

// TestUser_OwnPodman_Found: this user's own, as root's session has one.
func TestUser_OwnPodman_Found(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("root runs this test, as it runs the agent: another user's processes are not in a user namespace of user 0")
	}
	h := newHost(t)
	f := newFake(t, filepath.Join(h.root, "run/user/0/podman/podman.sock"), "podman-4.3")
	pid, _ := h.process()
	f.set(&fakeContainer{id: idA, pid: pid})
	h.begin()
	h.runs(pid)
	if got := h.Running()[0].Engine; got != "podman of user 0" {
		t.Error(got)
	}
}

// TestUser_SocketOfAnother_Fault: what is in a user's folder is not asked unless that user listens.
func TestUser_SocketOfAnother_Fault(t *testing.T) {
	h := newHost(t)
	other := strconv.Itoa(os.Getuid() + 1000)
	f := newFake(t, filepath.Join(h.root, "run/user", other, "podman/podman.sock"), "podman-4.3")
	h.begin()
	h.eventually("a fault", func() bool { return len(h.Faults()) > 0 })
	want := "The containers of podman of user " + other + " are not known while it cannot be asked on /run/user/" + other + "/podman/podman.sock: another user answers on the socket. Remove what is there, and start the user's own Podman."
	if got := h.Faults()[0].Text; got != want || f.count("") > 0 {
		t.Errorf("%d requests, %s", f.count(""), got)
	}
}

// TestOpen_ProcessOfAnother_Refused: a user's engine may claim any PID.
func TestOpen_ProcessOfAnother_Refused(t *testing.T) {
	h := newHost(t)
	pid, _ := h.process()
	if _, err := h.open(pid, 1000); err != errForeign { //nolint:errorlint // as it is returned
		t.Errorf("a process of the host's: %v", err)
	}
	if os.Getuid() != 0 {
		t.Fatal("root runs this test, as it runs the agent: only root starts a process of user 1000")
	}
	cmd := exec.Command("unshare", "--user", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd) })
	h.show(cmd.Process.Pid)
	for uid, want := range map[int]error{1000: nil, 1001: errForeign, 0: nil, anyUser: nil} {
		h.eventually("user "+strconv.Itoa(uid), func() bool {
			o, err := h.open(cmd.Process.Pid, uid)
			if err == nil {
				o.close()
			}
			return err == want //nolint:errorlint // as above
		})
	}
}
