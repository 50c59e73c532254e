package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Names of the system's engines.
const (
	Docker = "docker"
	Podman = "podman"
)

// Control has one engine of the system do something. Its methods may be called from several
// goroutines; each call has a deadline of its own.
type Control struct {
	source source
	api    *client

	// turn is held to read and to negotiate the version, which is the null value until then.
	turn    chan struct{}
	version apiVersion
}

// Deadlines of calls, beside that of the client for those that only read. What an engine does
// may take long on a host that is busy.
const (
	changeTime = 2 * time.Minute
	pullTime   = time.Hour
	pullIdle   = 5 * time.Minute // without a word of the engine's
	stopExtra  = 30 * time.Second
)

// Controls returns the engines of the system whose sockets exist, Docker first. Those of users
// are left out: they end when their user logs out.
func Controls(root string) (all []*Control) {
	e := &Engines{root: root}
	for _, s := range e.sources() {
		if s.uid == anyUser {
			all = append(all, &Control{source: s, api: newClient(root, s, usualTimes.request), turn: make(chan struct{}, 1)})
		}
	}
	slices.SortStableFunc(all, func(a, b *Control) int { return cmp.Compare(a.source.name, b.source.name) })
	return all
}

// Name is Docker or Podman, Socket where it listens.
func (c *Control) Name() string   { return c.source.name }
func (c *Control) Socket() string { return c.source.path }

// Unreachable is that an engine could not be asked: whatever was asked for may have been done.
type Unreachable struct {
	Engine string
	text   string
}

func (u *Unreachable) Error() string { return u.text }

// Refused is that an engine answers, and does not do what it is asked for.
type Refused struct {
	// Status is that of HTTP.
	Status int
	text   string
}

func (r *Refused) Error() string { return r.text }

// IsMissing says that an engine has no such container or image.
func IsMissing(err error) bool {
	r, ok := errors.AsType[*Refused](err)
	return ok && r.Status == http.StatusNotFound
}

// IsTaken says that the name of a container is in use.
func IsTaken(err error) bool {
	r, ok := errors.AsType[*Refused](err)
	return ok && r.Status == http.StatusConflict
}

// told makes an error fit for a user.
func (c *Control) told(err error) error {
	r, isRefusal := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		return nil
	case isRefusal:
		return &Refused{r.status, cmp.Or(plainText(r.text), fmt.Sprintf("HTTP status %d", r.status))}
	case errors.Is(err, context.Canceled):
		return err
	}
	return &Unreachable{c.source.name, fmt.Sprintf("%s cannot be asked on %s: %v. %s", c.source.name, c.source.path, err, advice(c.source, err))}
}

// do sends a request below the version's path, and has its answer read.
func (c *Control) do(ctx context.Context, limit time.Duration, method, path string, query url.Values, header http.Header, body any, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v, err := c.negotiated(ctx)
	if err != nil {
		return c.told(err)
	}
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	answer, err := c.api.send(ctx, method, "/v"+v.String()+path, query, header, data)
	if err != nil {
		c.forget(err)
		if ctx.Err() != nil {
			err = errTimeout
		}
		return c.told(err)
	}
	defer answer.Body.Close()
	if read == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, maxInspect))
		return c.told(err)
	}
	part := &limited{r: answer.Body, left: maxLogs}
	err = read(part)
	switch {
	case part.exceeded:
		err = &tooLarge{maxLogs}
	case part.failed != nil && ctx.Err() != nil:
		err = errTimeout
	case part.failed != nil:
		err = reason(part.failed)
	}
	return c.told(err)
}

// negotiated returns the version to speak. One call at a time asks for it: Podman takes long to tell.
func (c *Control) negotiated(ctx context.Context) (v apiVersion, err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return v, errTimeout
	}
	defer func() { <-c.turn }()
	if c.version == (apiVersion{}) {
		c.version, err = c.api.pinged(ctx)
	}
	return c.version, err
}

// forget has the version negotiated again after an engine has gone, or does not take it any more:
// it may be another one when it comes back.
func (c *Control) forget(err error) {
	r, refused := errors.AsType[*refusal](err)
	_, gone := errors.AsType[syscall.Errno](err)
	if !gone && (!refused || r.status != http.StatusBadRequest) {
		return
	}
	select {
	case c.turn <- struct{}{}:
		c.version = apiVersion{}
		<-c.turn
	default: // it is being negotiated
	}
}

// Listed is a container that runs or has ended.
type Listed struct {
	ID, Name string
	Labels   map[string]string
}

// List returns the containers with a label, those that do not run among them.
func (c *Control) List(ctx context.Context, label, value string) (found []Listed, err error) {
	filters, err := json.Marshal(map[string][]string{"label": {label + "=" + value}})
	if err != nil {
		return nil, err
	}
	query := url.Values{"all": {"1"}, "filters": {string(filters)}}
	err = c.do(ctx, usualTimes.request, http.MethodGet, "/containers/json", query, nil, nil, func(r io.Reader) error {
		rows, _, err := parseList(io.LimitReader(r, maxBody))
		for _, row := range rows {
			if row.labels[label] == value { // an engine may not know the filter
				found = append(found, Listed{row.id, row.name, row.labels})
			}
		}
		return err
	})
	return found, err
}

// Inspected is the state of a container.
type Inspected struct {
	ID, Name string
	Labels   map[string]string
	Running  bool
	// Status is the engine's word: "created", "running", "exited", "dead", …
	Status string
	PID    int
	// StartedAt is in the engine's own form: another text is another run.
	StartedAt   string
	ExitCode    int
	OutOfMemory bool
	// Error is why the engine could not start it.
	Error string
	// Health is "starting", "healthy" or "unhealthy", "" without a health check. HealthOutput
	// is what the last check wrote.
	Health, HealthOutput string
	// Grace is how long it may take to end.
	Grace time.Duration
}

// Inspect asks for a container by its name or ID. IsMissing tells an error of one that is not there.
func (c *Control) Inspect(ctx context.Context, name string) (i Inspected, err error) {
	err = c.do(ctx, usualTimes.request, http.MethodGet, "/containers/"+name+"/json", nil, nil, nil, func(r io.Reader) error {
		i, err = parseState(io.LimitReader(r, maxInspect))
		return err
	})
	return i, err
}

// wireHealth is of a container with a health check. Podman has it of each, with an empty status.
type wireHealth struct {
	Status string
	Log    []struct{ Output string }
}

func parseState(r io.Reader) (Inspected, error) {
	var answer struct {
		ID    string `json:"Id"`
		Name  string
		State struct {
			Status           string
			Running, Paused  bool
			OOMKilled        bool
			Pid              int64
			ExitCode         int64
			Error, StartedAt string
			Health           *wireHealth
			Healthcheck      *wireHealth // Podman before 4.0
		}
		Config struct {
			Labels      map[string]string
			StopTimeout *int64
		}
	}
	if err := decode(r, &answer); err != nil {
		return Inspected{}, err
	}
	if !validID.MatchString(answer.ID) {
		return Inspected{}, &malformed{answer.ID, "the ID of a container"}
	}
	s := answer.State
	i := Inspected{
		ID: answer.ID, Name: strings.TrimPrefix(answer.Name, "/"), Labels: answer.Config.Labels,
		Running: s.Running || s.Paused, Status: short(s.Status), StartedAt: short(s.StartedAt),
		ExitCode: int(s.ExitCode), OutOfMemory: s.OOMKilled, Error: plainText(s.Error), Grace: 10 * time.Second,
	}
	if i.Running && s.Pid > 1 && s.Pid <= maxPID {
		i.PID = int(s.Pid)
	}
	if t := answer.Config.StopTimeout; t != nil && *t >= 0 && *t <= 86400 {
		i.Grace = time.Duration(*t) * time.Second
	}
	for _, h := range []*wireHealth{s.Health, s.Healthcheck} {
		if h == nil || i.Health != "" || h.Status == "none" {
			continue
		}
		i.Health = short(h.Status)
		if n := len(h.Log); n > 0 {
			i.HealthOutput = plainText(h.Log[n-1].Output)
		}
	}
	return i, nil
}

// Start starts a container. One that runs is fine; Docker says so with a status that is not OK.
func (c *Control) Start(ctx context.Context, id string) error {
	return unchanged(c.do(ctx, changeTime, http.MethodPost, "/containers/"+id+"/start", nil, nil, nil, nil))
}

// Stop sends a container its signal, and kills it after its grace.
func (c *Control) Stop(ctx context.Context, id string, grace time.Duration) error {
	query := url.Values{"t": {strconv.Itoa(int(grace.Seconds()))}}
	return gone(unchanged(c.do(ctx, grace+stopExtra, http.MethodPost, "/containers/"+id+"/stop", query, nil, nil, nil)))
}

// Remove removes a container with its log and its anonymous volumes. Those with a name stay.
func (c *Control) Remove(ctx context.Context, id string) error {
	return gone(c.do(ctx, changeTime, http.MethodDelete, "/containers/"+id, url.Values{"force": {"true"}, "v": {"true"}}, nil, nil, nil))
}

func unchanged(err error) error {
	if r, ok := errors.AsType[*Refused](err); ok && r.Status == http.StatusNotModified {
		return nil
	}
	return err
}

// gone: what is to go and is not there has gone.
func gone(err error) error {
	if IsMissing(err) {
		return nil
	}
	return err
}

// plainText is a text of an engine's on one line, without what a terminal obeys. An address with
// a password in it, as a registry's or a proxy's may be, loses that.
func plainText(s string) string {
	s = passwords.ReplaceAllString(s, "://…@")
	return strings.Trim(quote(s), `"`)
}

var passwords = regexp.MustCompile(`://[^/@\s"]+@`)

// HasImage says whether the engine has an image.
func (c *Control) HasImage(ctx context.Context, ref string) (bool, error) {
	err := c.do(ctx, usualTimes.request, http.MethodGet, "/images/"+ref+"/json", nil, nil, nil, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, io.LimitReader(r, maxInspect))
		return err
	})
	if IsMissing(err) {
		return false, nil
	}
	return err == nil, err
}

// Logs returns the last lines that a container wrote, of stdout and stderr, at most limit bytes.
func (c *Control) Logs(ctx context.Context, id string, lines, limit int) (text []byte, err error) {
	query := url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {strconv.Itoa(lines)}}
	err = c.do(ctx, usualTimes.request, http.MethodGet, "/containers/"+id+"/logs", query, nil, nil, func(r io.Reader) error {
		text, err = lastOf(demultiplex(r), limit)
		return err
	})
	return bytes.ToValidUTF8(text, []byte("?")), err
}
