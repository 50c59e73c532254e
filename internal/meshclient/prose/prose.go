// Package prose makes text fit for messages: sentences that end, and the words
// of a host without what a terminal would do with them.
package prose

import (
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

const (
	// maxQuote is how many characters of a host's words stand in a message.
	maxQuote = 800
	// maxWord is that for a word.
	maxWord = 80
)

// Sentence is s with a full stop, where it has no end of its own.
func Sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.HasSuffix(s, ".") || strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}

// ListOr is the list with commas, and none for an empty one.
func ListOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

// Clean makes a host's words fit for a message: without the terminal's escapes
// and other characters that are not printable, in one line, and not too long.
func Clean(text string) string {
	quoted := []rune(strings.Join(printableLines(text), "; "))
	if len(quoted) > maxQuote {
		return string(quoted[:maxQuote/2]) + " … " + string(quoted[len(quoted)-maxQuote/2:])
	}
	return string(quoted)
}

// CleanLines is Clean for text that keeps its lines, and is bounded already.
func CleanLines(text string) string { return strings.Join(printableLines(text), "\n") }

// CleanWord is Clean for something short.
func CleanWord(s string) string {
	word := []rune(Clean(s))
	return string(word[:min(len(word), maxWord)])
}

func printableLines(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(plain.Text(text), "\n") {
		if line = strings.TrimRight(strings.ReplaceAll(line, "\t", " "), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
