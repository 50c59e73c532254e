package serving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Load is a load that runs.
type Load struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan Report
	errs    strings.Builder
	ended   error // read once answers is closed
}

// Start starts it: command is ssh to its host with the program and its arguments.
func Start(command *exec.Cmd) (*Load, error) {
	l := &Load{cmd: command, answers: make(chan Report)}
	command.Stderr = &l.errs
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if l.in, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	go l.read(out)
	return l, nil
}

func (l *Load) read(out io.Reader) {
	defer close(l.answers)
	d := json.NewDecoder(out)
	for {
		var r Report
		if err := d.Decode(&r); err != nil {
			_, _ = io.Copy(io.Discard, out)
			l.ended = fmt.Errorf("the load ended: %w", errors.Join(err, l.cmd.Wait(), errors.New(strings.TrimSpace(l.errs.String()))))
			return
		}
		l.answers <- r
	}
}

// Say says a word and waits for its answer. After an error it is of no use any more: the answer may come later.
func (l *Load) Say(ctx context.Context, words ...string) (Report, error) {
	if _, err := io.WriteString(l.in, strings.Join(words, " ")+"\n"); err != nil {
		return Report{}, fmt.Errorf("the load: %w", err)
	}
	select {
	case r, is := <-l.answers:
		if !is {
			return Report{}, l.ended
		}
		if r.Error != "" {
			return r, fmt.Errorf("the load does not take %q: %s", strings.Join(words, " "), r.Error)
		}
		return r, nil
	case <-ctx.Done():
		return Report{}, fmt.Errorf("no answer of the load to %q: %w", words[0], ctx.Err())
	}
}

// Stop ends the load. Answers that nobody has waited for are lost.
func (l *Load) Stop() {
	_ = l.in.Close()
	for range l.answers {
	}
}
