package mesh

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// CheckType is how an endpoint is checked.
type CheckType string

const (
	// CheckTCP opens a connection and closes it.
	CheckTCP CheckType = "tcp"
	// CheckHTTP and CheckHTTPS make a GET request; a certificate is not verified.
	CheckHTTP  CheckType = "http"
	CheckHTTPS CheckType = "https"
)

// OnUnhealthy says what becomes of the connections of an unhealthy endpoint.
type OnUnhealthy string

const (
	// KeepConnections gives it no new ones.
	KeepConnections OnUnhealthy = "drain"
	// CutConnections ends them too.
	CutConnections OnUnhealthy = "cut"
)

// Defaults of a health check.
const (
	DefaultCheckInterval = 5 * time.Second
	DefaultCheckTimeout  = 2 * time.Second
	DefaultRise          = 2
	DefaultFall          = 3
	DefaultCheckPath     = "/"
	DefaultCheckStatus   = "200-399"

	minCheckInterval, maxCheckInterval = 200 * time.Millisecond, time.Hour
)

// HealthCheck is how every node checks every endpoint of a service, over the way
// that traffic takes. An endpoint that stops answering is out of a node's IPVS
// within Interval × Fall.
type HealthCheck struct {
	Type CheckType `json:"type"`
	// Port is checked in place of those on which the endpoint answers the
	// service's tcp ports; 0 is those.
	Port uint16 `json:"port,omitempty"`
	// Path, Host (the Host header and TLS's server name) and Status are for http
	// and https. Status lists codes and ranges: "200,204,300-399".
	Path   string `json:"path,omitempty"`
	Host   string `json:"host,omitempty"`
	Status string `json:"status,omitempty"`
	// IntervalMillis is from one check to the next, TimeoutMillis how long one may
	// take.
	IntervalMillis int `json:"interval_millis"`
	TimeoutMillis  int `json:"timeout_millis"`
	// Rise and Fall are how many checks in a row make it healthy, and unhealthy.
	Rise        int         `json:"rise"`
	Fall        int         `json:"fall"`
	OnUnhealthy OnUnhealthy `json:"on_unhealthy"`
}

// Interval is from one check to the next.
func (h *HealthCheck) Interval() time.Duration {
	return time.Duration(h.IntervalMillis) * time.Millisecond
}

// Timeout is how long one check may take.
func (h *HealthCheck) Timeout() time.Duration {
	return time.Duration(h.TimeoutMillis) * time.Millisecond
}

// Period is how far the beginnings of two checks are apart at most, so that the
// last of Fall checks that all time out has ended within Interval × Fall.
func (h *HealthCheck) Period() time.Duration {
	share := (h.Timeout() + time.Duration(h.Fall) - 1) / time.Duration(h.Fall) // rounded up
	return h.Interval() - share
}

// webOnly is the first setting that is there and that only http and https have.
func (h *HealthCheck) webOnly() string {
	switch {
	case h.Path != "":
		return "path"
	case h.Host != "":
		return "host"
	}
	return "expected_status"
}

func (h *HealthCheck) checkCounts() error {
	return cmp.Or(RiseFall.Check("health_check.rise", int64(h.Rise)), RiseFall.Check("health_check.fall", int64(h.Fall)))
}

// check returns the first other setting that is out of range.
func (h *HealthCheck) check() (attribute, detail string) {
	web := h.Type == CheckHTTP || h.Type == CheckHTTPS
	switch {
	case !web && h.Type != CheckTCP:
		return "type", fmt.Sprintf("The type must be tcp, http or https, not %q.", string(h.Type))
	case !web && h.Path+h.Host+h.Status != "":
		return "type", fmt.Sprintf("%s needs the type http or https; the type is tcp.", h.webOnly())
	case web && (!strings.HasPrefix(h.Path, "/") || strings.ContainsFunc(h.Path, unprintable)):
		return "path", fmt.Sprintf("The path must begin with / and have no spaces, as in /healthz, not %q.", h.Path)
	case strings.ContainsFunc(h.Host, unprintable):
		return "host", fmt.Sprintf("The host must be a name, as in www.example.com, not %q.", h.Host)
	case !checkIntervals.Has(int64(h.IntervalMillis)):
		return "interval", fmt.Sprintf("The interval must be %s–%s, not %s.", minCheckInterval, maxCheckInterval, lasting(int64(h.IntervalMillis), time.Millisecond))
	case h.TimeoutMillis < 1 || h.TimeoutMillis > h.IntervalMillis:
		return "timeout", fmt.Sprintf("The timeout must be at least 1ms and no longer than the interval of %s, not %s.", h.Interval(), lasting(int64(h.TimeoutMillis), time.Millisecond))
	case 2*h.Timeout() > time.Duration(h.Fall)*h.Interval():
		return "timeout", fmt.Sprintf("With fall = %d the timeout must be no longer than %s, so that a silent endpoint is found within interval × fall.",
			h.Fall, time.Duration(h.Fall)*h.Interval()/2)
	case h.OnUnhealthy != KeepConnections && h.OnUnhealthy != CutConnections:
		return "on_unhealthy", fmt.Sprintf("on_unhealthy must be drain or cut, not %q.", string(h.OnUnhealthy))
	}
	if web {
		if _, err := ParseStatusCodes(h.Status); err != nil {
			return "expected_status", err.Error()
		}
	}
	return "", ""
}

// checkIntervals are in milliseconds.
var checkIntervals = Limits{minCheckInterval.Milliseconds(), maxCheckInterval.Milliseconds()}

func unprintable(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }

// StatusCodes is a set of HTTP status codes.
type StatusCodes []struct{ First, Last int }

// Has says whether the code is one of them.
func (s StatusCodes) Has(code int) bool {
	for _, r := range s {
		if r.First <= code && code <= r.Last {
			return true
		}
	}
	return false
}

// ParseStatusCodes reads "200", "200-399" or "200,204,300-399": codes 100–599.
func ParseStatusCodes(s string) (StatusCodes, error) {
	var codes StatusCodes
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		a, errA := statusCode(first)
		b, errB := statusCode(last)
		if errA != nil || errB != nil || a > b {
			return nil, fmt.Errorf("expected_status must list codes 100–599 and ranges of them, as in 200,204,300-399, not %q", s)
		}
		codes = append(codes, struct{ First, Last int }{a, b})
	}
	return codes, nil
}

func statusCode(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 100 || n > 599 || len(s) != 3 {
		return 0, fmt.Errorf("%q is no status code", s)
	}
	return n, nil
}
