// Package term lays out text for a person at a terminal.
package term

import (
	"strings"
	"unicode/utf8"
)

// Width is how many columns a line takes at most, where words allow it.
const Width = 116

// Fold writes a text in lines of at most Width, the first after one prefix and
// the others after another.
func Fold(b *strings.Builder, first, other, text string) {
	line, used := first, utf8.RuneCountInString(first)
	empty := true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && used+1+n > Width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line, used, empty = other, utf8.RuneCountInString(other), true
		}
		if !empty {
			line, used = line+" ", used+1
		}
		line, used, empty = line+word, used+n, false
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}
