package hostsfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/names"
)

// The lines that our block is between.
const (
	begin = "# BEGIN routingmesh-agent"
	end   = "# END routingmesh-agent"
	about = " (services in networks; the agent keeps this block as the cluster's record asks"
	// noNewline in the first line says that what comes before it had no end of a line.
	noNewline = "; the line before had no end"
)

// text is the content of a hosts file.
type text struct {
	before, block, after string // block is "" where there is none
	// opened says that the end of the line before the block is ours too.
	opened bool
}

var errMarks = fmt.Errorf("the lines %q and %q are not there once each, in this order", begin, end)

// parse finds our block. An error says that what is ours cannot be told from the rest.
func parse(content string) (text, error) {
	var t text
	begins, ends, at := 0, 0, 0
	from, to := -1, -1
	for line := range strings.Lines(content) {
		switch {
		case strings.HasPrefix(line, begin):
			begins, from = begins+1, at
			t.opened = strings.Contains(line, noNewline)
		case strings.HasPrefix(line, end):
			ends, to = ends+1, at+len(line)
		}
		at += len(line)
	}
	switch {
	case begins == 0 && ends == 0:
		return text{before: content}, nil
	case begins != 1 || ends != 1 || from >= to:
		return text{}, errMarks
	}
	t.before, t.block, t.after = content[:from], content[from:to], content[to:]
	return t, nil
}

// without is the content as it was before there was a block.
func (t text) without() string {
	before := t.before
	if t.block != "" && t.opened && t.after == "" {
		before = strings.TrimSuffix(before, "\n")
	}
	return before + t.after
}

// with is the content with a block that has the hosts. A name that another line has is
// that line's, and so is the host's own.
func (t text) with(hosts []names.Host, hostname string) string {
	if len(hosts) == 0 {
		return t.without()
	}
	before, opened := t.before, t.opened
	if t.block == "" {
		if opened = before != "" && !strings.HasSuffix(before, "\n"); opened {
			before += "\n"
		}
	}
	taken := t.names()
	taken["localhost"] = true
	if hostname = strings.ToLower(hostname); hostname != "" {
		short, _, _ := strings.Cut(hostname, ".")
		taken[hostname], taken[short] = true, true
	}
	var b strings.Builder
	b.WriteString(before + begin + about)
	if opened {
		b.WriteString(noNewline)
	}
	b.WriteString(")\n")
	for _, h := range hosts {
		short := slices.DeleteFunc(slices.Clone(h.Short), func(name string) bool { return taken[name] })
		b.WriteString(strings.Join(append([]string{h.VIP.String() + "\t" + h.Name}, short...), " ") + "\n")
	}
	b.WriteString(end + "\n" + t.after)
	return b.String()
}

// names are those of the lines that are not ours.
func (t text) names() map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(t.before + "\n" + t.after) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 1 {
			for _, name := range fields[1:] {
				all[strings.ToLower(name)] = true
			}
		}
	}
	return all
}

// hasMarks says that something of the content is, or was, ours.
func hasMarks(content string) bool {
	t, err := parse(content)
	return err != nil || t.block != ""
}
