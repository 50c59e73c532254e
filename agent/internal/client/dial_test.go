package client

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
)

func TestJoin_PassesTheEndOfInputOnAndTheAnswerBack(t *testing.T) {
	var stdout bytes.Buffer
	socket := filepath.Join(t.TempDir(), "agent.sock")
	l := agenttest.Listen(t, socket)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		question, _ := io.ReadAll(conn) // ends only by the half-close
		_, _ = conn.Write(append([]byte("answer to "), question...))
		conn.Close()
	}()
	if err := New(socket).Join(t.Context(), strings.NewReader("question"), &stdout); err != nil || stdout.String() != "answer to question" {
		t.Errorf("%v, %q", err, stdout.String())
	}
}

func TestJoin_EndsWhenTheAgentClosesThoughStdinIsOpen(t *testing.T) {
	var stdout bytes.Buffer
	socket := filepath.Join(t.TempDir(), "agent.sock")
	r, w := io.Pipe() // nobody writes or closes it before the end
	defer w.Close()
	l := agenttest.Listen(t, socket)
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = conn.Write([]byte("bye"))
			conn.Close()
		}
	}()
	if err := New(socket).Join(t.Context(), r, &stdout); err != nil || stdout.String() != "bye" {
		t.Errorf("%v, %q", err, stdout.String())
	}
}
