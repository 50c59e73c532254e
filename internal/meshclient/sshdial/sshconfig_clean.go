package sshdial

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kevinburke/ssh_config"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// maxIncludes is one less than the parser's own limit.
const maxIncludes = 4

// configCleaner makes copies of ~/.ssh/config and of what it includes, in which
// everything is that the parser takes. What is left out is said with file and
// line: one Match block for another host must not keep the provider from
// starting, and none may be missed in silence.
type configCleaner struct {
	around   surroundings
	dir      string // of the copies
	copies   int
	warnings []string
}

func (c *configCleaner) warn(file string, line int, format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf("%s line %d: ", file, line)+fmt.Sprintf(format, args...))
}

// clean is the copy's text; lines that are left out are blank.
func (c *configCleaner) clean(file, content string, depth int) string {
	lines := strings.Split(content, "\n")
	cut := false // in a block that is left out
	for i, line := range lines {
		keyword, value := configLine(line)
		switch keyword {
		case "match", "host":
			lines[i], cut = c.block(file, i+1, line, keyword, value)
		case "include":
			if !cut {
				lines[i] = c.include(file, i+1, value, depth)
			}
		case "canonicalizehostname":
			if !cut && !strings.EqualFold(value, "no") {
				c.warn(file, i+1, "CanonicalizeHostname is passed over: host names are taken as they are written.")
				lines[i] = ""
			}
		default:
			if !cut && !parses(line) {
				c.warn(file, i+1, "%s cannot be read, and is passed over.", prose.Clean(line))
				lines[i] = ""
			}
		}
		if cut {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// block is a line that begins a block. Match all and Match host PATTERNS are what
// the parser can do, written as Host.
func (c *configCleaner) block(file string, n int, line, keyword, value string) (clean string, cut bool) {
	if keyword == "match" {
		words := strings.Fields(value)
		for i := range words {
			words[i] = strings.Trim(words[i], `"`)
		}
		switch {
		case len(words) == 1 && strings.EqualFold(words[0], "all"):
			line = "Host *"
		case len(words) == 2 && slices.Contains([]string{"host", "originalhost"}, strings.ToLower(words[0])):
			line = "Host " + strings.ReplaceAll(words[1], ",", " ")
		default:
			c.warn(file, n, "the block Match %s is passed over: of Match only `all` and `host PATTERNS` are known.", prose.CleanWord(value))
			return "", true
		}
	}
	if !parses(line) {
		c.warn(file, n, "the block %s is passed over: it cannot be read.", prose.CleanWord(line))
		return "", true
	}
	return line, false
}

// include makes copies of the files, and a line that includes those.
func (c *configCleaner) include(file string, n int, value string, depth int) string {
	if depth >= maxIncludes {
		c.warn(file, n, "Include is passed over: the files include each other more than %d times.", maxIncludes)
		return ""
	}
	var copies []string
	for pattern := range strings.FieldsSeq(value) {
		pattern = strings.Trim(pattern, `"`)
		path := c.around.expand(pattern)
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.around.home, ".ssh", path)
		}
		found, err := filepath.Glob(path)
		if err != nil || len(found) == 0 {
			c.warn(file, n, "Include %s finds no file.", prose.CleanWord(pattern))
		}
		for _, f := range found {
			copied, err := c.copy(f, depth+1)
			if err != nil {
				c.warn(file, n, "Include passes over a file: %v.", err)
				continue
			}
			copies = append(copies, copied)
		}
	}
	if len(copies) == 0 {
		return ""
	}
	return "Include " + strings.Join(copies, " ")
}

func (c *configCleaner) copy(file string, depth int) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	cleaned := c.clean(file, string(content), depth)
	c.copies++
	path := filepath.Join(c.dir, fmt.Sprint(c.copies))
	return path, os.WriteFile(path, []byte(cleaned), 0o600) //nolint:gosec // G703: a number in a folder of ours
}

// configLine is the keyword, in small letters, and what follows it.
func configLine(line string) (keyword, value string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", ""
	}
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return strings.ToLower(line), ""
	}
	value = strings.TrimLeft(line[end:], " \t")
	value = strings.TrimSpace(strings.TrimPrefix(value, "="))
	return strings.ToLower(line[:end]), value
}

// parses asks the parser itself.
func parses(line string) bool {
	_, err := ssh_config.Decode(strings.NewReader(line + "\n"))
	return err == nil
}

// decodeConfig parses the configuration, and says what it passed over.
func decodeConfig(path, content string, around surroundings) (*ssh_config.Config, []string, error) {
	dir, err := os.MkdirTemp("", "routingmesh-ssh-config-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	c := &configCleaner{around: around, dir: dir}
	parsed, err := ssh_config.Decode(strings.NewReader(c.clean(path, content, 0)))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return parsed, c.warnings, nil
}
