package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
)

// event is one of a container's.
type event struct {
	id string
	// relists says that it may change the list, restarts that the container's process may be another.
	relists, restarts bool
}

// parseEvent reads a line of the stream. Docker ≥ 29 has Action and Actor only, where older
// engines have status and id beside them. What is not known here is of no interest, above all exec_* and
// health_status, which come every few seconds where there are health checks.
func parseEvent(line []byte) (event, bool) {
	var wire struct {
		Type, Action string
		Actor        struct{ ID string }
	}
	if json.Unmarshal(line, &wire) != nil || wire.Type != "container" || !validID.MatchString(wire.Actor.ID) {
		return event{}, false
	}
	e := event{id: wire.Actor.ID}
	switch wire.Action {
	case "start", "restart", "die", "died":
		e.relists, e.restarts = true, true
	case "stop", "cleanup", "destroy", "remove", "rename", "pause", "unpause", "update", "sync":
		e.relists = true
	}
	return e, e.relists
}

// stream is a subscription to an engine's events.
type stream struct {
	open   chan struct{} // closed when the engine has begun to answer
	done   chan struct{} // closed when it has ended; err says why
	events func(event)
	err    error
}

// subscribe asks for events until ctx ends. events is called for each, from one goroutine; the null
// event stands for any number that could not be read.
func (c *client) subscribe(ctx context.Context, v apiVersion, events func(event)) *stream {
	s := &stream{open: make(chan struct{}), done: make(chan struct{}), events: events}
	go func() {
		defer close(s.done)
		answer, err := c.request(ctx, "/v"+v.String()+"/events", url.Values{"filters": {`{"type":["container"]}`}})
		if err != nil {
			s.err = err
			return
		}
		defer answer.Body.Close()
		close(s.open)
		s.err = readEvents(answer.Body, events)
	}()
	return s
}

// refused says that the stream has ended because the engine has no events, as a Podman with
// events_logger "none" has none.
func (s *stream) refused() bool {
	select {
	case <-s.done:
		var r *refusal
		return errors.As(s.err, &r)
	default:
		return false
	}
}

// readEvents reads a line per event. One that is too long is skipped, but not forgotten.
func readEvents(r io.Reader, events func(event)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	whole := true
	for {
		part, err := lines.ReadSlice('\n')
		if whole = whole && len(line)+len(part) <= maxEvent; whole {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return err
		}
		if e, ok := parseEvent(line); ok {
			events(e)
		} else if !whole {
			events(event{})
		}
		line, whole = line[:0], true
		if cap(line) > 256<<10 {
			line = nil
		}
	}
}
