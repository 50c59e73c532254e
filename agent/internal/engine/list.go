package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"strings"
)

// Limits of what is taken from an engine. A container beyond them is left out.
const (
	maxContainers = 4096     // per socket
	maxLabels     = 64 << 10 // bytes of JSON
	maxNames      = 16 << 10
)

// Docker's and Podman's own rules.
var (
	validID   = regexp.MustCompile(`^[0-9a-f]{12,64}$`)
	validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$`)
)

// row is a container in an engine's list.
type row struct {
	id, name string
	created  int64
	labels   map[string]string
}

// wireRow keeps what may be large as it is, until its size is known.
type wireRow struct {
	ID      string `json:"Id"`
	Names   json.RawMessage
	Created int64
	Labels  json.RawMessage
}

// list asks for the containers that run or are paused: without the filter Podman leaves out
// the paused ones. omitted counts those beyond the limits.
func (c *client) list(ctx context.Context, v apiVersion) (rows []row, omitted int, err error) {
	query := url.Values{"filters": {`{"status":["running","paused"]}`}}
	err = c.get(ctx, "/v"+v.String()+"/containers/json", query, maxBody, func(r io.Reader) (err error) {
		rows, omitted, err = parseList(r)
		return err
	})
	return rows, omitted, err
}

// parseList reads an answer one container at a time: memory is bounded by what is kept.
func parseList(r io.Reader) (rows []row, omitted int, err error) {
	begin := &beginning{r: r}
	broken := func() ([]row, int, error) {
		return nil, 0, &malformed{string(begin.text), "a list of containers"}
	}
	d := json.NewDecoder(begin)
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return broken()
	}
	seen := map[string]bool{}
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return broken()
		}
		row, ok := parseRow(raw)
		switch {
		case !ok || seen[row.id] || len(rows) == maxContainers:
			omitted++
		default:
			seen[row.id] = true
			rows = append(rows, row)
		}
	}
	if _, err := d.Token(); err != nil {
		return broken()
	}
	return rows, omitted, nil
}

func parseRow(raw []byte) (row, bool) {
	var w wireRow
	if json.Unmarshal(raw, &w) != nil || !validID.MatchString(w.ID) || len(w.Labels) > maxLabels || len(w.Names) > maxNames {
		return row{}, false
	}
	r := row{id: w.ID, created: w.Created}
	var names []string
	if json.Unmarshal(w.Names, &names) != nil {
		return row{}, false
	}
	for _, name := range names { // "/web" and, by a link of another container, "/db/web"
		if name = strings.TrimPrefix(name, "/"); r.name == "" && validName.MatchString(name) {
			r.name = name
		}
	}
	if len(bytes.TrimSpace(w.Labels)) > 0 && json.Unmarshal(w.Labels, &r.labels) != nil {
		return row{}, false
	}
	return r, r.name != ""
}
