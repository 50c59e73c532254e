package prose

import (
	"strings"
	"testing"
	"unicode"
)

// What a host prints is bounded and cannot move a terminal's cursor.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "\x1b[31mred\x1b[0m", "\x1b]0;t\x07", "a\r\nb\t\x00\u202e\xff", strings.Repeat("ä", 2000), "\x1b", "\u009b31m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if n := len([]rune(got)); n > maxQuote+3 || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is quoted as %d characters: %q", s, n, got)
		}
	})
}
