package mesh

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxText is how long free text of a record may be: a host key of RSA with 16384 bits fits.
const maxText = 4096

// isText says that free text can be shown as it is: a record is written by others, too.
func isText(s string) bool {
	if len(s) > maxText || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return false
		}
	}
	return true
}

// Limits are the least and the greatest number that a setting may have. A plan and a
// commit ask the same ones, and say the same of what is out of them.
type Limits struct{ First, Last int64 }

// The limits of settings, by what they hold.
var (
	Ports             = Limits{1, 65535}
	VNIs              = Limits{1, 1<<24 - 1}
	MTUs              = Limits{576, 65485}
	NodePrefixLengths = Limits{1, 29}
	MarkBits          = Limits{1, 31}
	// UnderlayMTUs carry an overlay of MTUs; loopback and InfiniBand have the largest.
	UnderlayMTUs = Limits{MTUs.First + VXLANOverhead, 1 << 20}
	// DrainSeconds, AffinitySeconds and IdleSeconds are those of the three timeouts.
	DrainSeconds    = Limits{0, int64(maxDrain / time.Second)}
	AffinitySeconds = Limits{1, int64(maxAffinity / time.Second)}
	IdleSeconds     = Limits{1, int64(maxIdle / time.Second)}
	Weights         = Limits{0, MaxWeight}
	// AffinityPrefixLengths are those of session_affinity.netmask, RiseFall the numbers
	// of checks in a row that make an endpoint healthy and unhealthy.
	AffinityPrefixLengths = Limits{1, 32}
	RiseFall              = Limits{1, 100}
)

// Has says whether n is within the limits.
func (l Limits) Has(n int64) bool { return l.First <= n && n <= l.Last }

// Check says in what way n is out of the limits; what is the setting, as in "vni".
func (l Limits) Check(what string, n int64) error {
	if !l.Has(n) {
		return fmt.Errorf("%s must be %d–%d, not %d", what, l.First, l.Last, n)
	}
	return nil
}

var portRange = regexp.MustCompile(`^([1-9][0-9]{0,4})-([1-9][0-9]{0,4})$`)

// ParsePortRange reads "30000-32767".
func ParsePortRange(s string) (PortRange, error) {
	m := portRange.FindStringSubmatch(s)
	if m == nil {
		return PortRange{}, fmt.Errorf("%q is no port range: want FIRST-LAST, as in %s", s, DefaultPortRange)
	}
	first, err1 := strconv.ParseUint(m[1], 10, 16)
	last, err2 := strconv.ParseUint(m[2], 10, 16)
	r := PortRange{uint16(first), uint16(last)}
	if err1 != nil || err2 != nil || r.check() != nil {
		return PortRange{}, badRange(s)
	}
	return r, nil
}

// String is what ParsePortRange reads.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func (r PortRange) check() error {
	if r.First == 0 || r.First > r.Last {
		return badRange(r.String())
	}
	return nil
}

func badRange(s string) error {
	return fmt.Errorf("%q is no port range: want FIRST-LAST with 1 ≤ FIRST ≤ LAST ≤ 65535", s)
}

// lasting is a number of units as a duration, for messages, also one that is too large to
// be one.
func lasting(n int64, unit time.Duration) string {
	if longest := int64(math.MaxInt64); n > longest/int64(unit) || n < -longest/int64(unit) {
		return fmt.Sprintf("%d × %s", n, unit)
	}
	return (time.Duration(n) * unit).String()
}
