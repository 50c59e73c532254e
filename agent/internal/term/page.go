package term

import (
	"io"
	"strings"
	"unicode/utf8"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// Page is what one command shows. Its text may be anybody's: what a terminal obeys is taken out of it.
type Page struct {
	screen Screen
	b      strings.Builder
}

// On is an empty page for a screen, or for a writer that is none: it is as wide as a page is there.
func On(out io.Writer) *Page {
	if s, ok := out.(Screen); ok {
		return &Page{screen: s}
	}
	return &Page{screen: Screen{Out: out, Columns: Columns}}
}

// Show writes the page.
func (p *Page) Show() error {
	_, err := io.WriteString(p.screen.Out, p.b.String())
	return err
}

// Line adds a line in one style.
func (p *Page) Line(style Style, text string) {
	p.b.WriteString(p.painted(style, plain.Text(text)) + "\n")
}

// Fold adds a text, the first line after one prefix and the others after another.
func (p *Page) Fold(first []Cell, other, text string) {
	var line strings.Builder
	used := 0
	for _, c := range first {
		prefix := plain.Text(c.Text)
		line.WriteString(p.painted(c.Style, prefix))
		used += utf8.RuneCountInString(prefix)
	}
	end := func() {
		p.b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		line.Reset()
	}
	width, empty := min(p.screen.Columns, proseColumns), true
	for word := range strings.FieldsSeq(plain.Text(text)) {
		n := utf8.RuneCountInString(word)
		if !empty && used+1+n > width {
			end()
			line.WriteString(other)
			used, empty = utf8.RuneCountInString(other), true
		}
		if !empty {
			line.WriteString(" ")
			used++
		}
		line.WriteString(word)
		used, empty = used+n, false
	}
	end()
}

// painted is text in a style, where the screen shows it.
func (p *Page) painted(style Style, text string) string {
	if !p.screen.Color || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}
