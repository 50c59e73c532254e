package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// apiVersion is a version of the Engine API: major, minor.
type apiVersion struct{ major, minor int }

var (
	// wantedAPI has all that is asked here, and Podman 4 speaks it. Docker 29 begins above it.
	wantedAPI = apiVersion{1, 41}
	// oldestAPI is Docker 1.12's: an older one is not tested.
	oldestAPI = apiVersion{1, 24}
	// newestAPI is the newest whose answers are known.
	newestAPI = apiVersion{1, 52}
)

func (v apiVersion) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

func (v apiVersion) less(w apiVersion) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// parseAPIVersion reads "1.41".
func parseAPIVersion(s string) (apiVersion, bool) {
	major, rest, _ := strings.Cut(s, ".")
	minor, _, _ := strings.Cut(rest, ".") // "1.41.0" is as good
	v, err1 := strconv.ParseUint(major, 10, 16)
	w, err2 := strconv.ParseUint(minor, 10, 16)
	return apiVersion{int(v), int(w)}, err1 == nil && err2 == nil
}

// offer is what an engine says of its versions: of the API the newest and the oldest.
type offer struct {
	product        string // "20.10.24+dfsg1": what the engine calls its own version
	newest, oldest apiVersion
}

// parseVersion reads the answer to GET /version. An engine that says nothing of an oldest version
// has none. Podman has versions of its own API among its components, "APIVersion": these are others.
func parseVersion(r io.Reader) (offer, error) {
	var answer struct {
		Version                   string
		ApiVersion, MinAPIVersion string
	}
	if err := decode(r, &answer); err != nil {
		return offer{}, err
	}
	o := offer{product: short(answer.Version)}
	var ok bool
	if o.newest, ok = parseAPIVersion(answer.ApiVersion); !ok {
		return offer{}, &malformed{answer.ApiVersion, "a version of the Docker Engine API"}
	}
	if answer.MinAPIVersion == "" {
		return o, nil
	}
	if o.oldest, ok = parseAPIVersion(answer.MinAPIVersion); !ok {
		return offer{}, &malformed{answer.MinAPIVersion, "a version of the Docker Engine API"}
	}
	return o, nil
}

// choose returns the version to speak.
func (o offer) choose() (apiVersion, error) {
	v := wantedAPI
	if o.newest.less(v) {
		v = o.newest
	}
	if v.less(o.oldest) {
		v = o.oldest
	}
	switch {
	case newestAPI.less(v) || o.newest.less(v):
		return v, &unsupported{o, true}
	case v.less(oldestAPI):
		return v, &unsupported{o, false}
	}
	return v, nil
}

// negotiate asks for the version to speak.
func (c *client) negotiate(ctx context.Context) (v apiVersion, err error) {
	var o offer
	err = c.get(ctx, "/version", nil, maxInspect, func(r io.Reader) (err error) {
		o, err = parseVersion(r)
		return err
	})
	if err != nil {
		return v, err
	}
	return o.choose()
}

// decode reads one JSON value.
func decode(r io.Reader, into any) error {
	begin := &beginning{r: r}
	if err := json.NewDecoder(begin).Decode(into); err != nil {
		return &malformed{string(begin.text), "JSON of the Docker Engine API"}
	}
	return nil
}

// beginning keeps the first bytes that are read, for an error that quotes them.
type beginning struct {
	r    io.Reader
	text []byte
}

func (b *beginning) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.text = append(b.text, p[:min(n, maxQuote-len(b.text))]...)
	return n, err
}
