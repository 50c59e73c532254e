package term

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// Together stands between words of a cell that stay on one line.
const Together = "\u00a0"

// gap is the space between two columns.
const gap = 2

// Cell is a text in a table.
type Cell struct {
	Text  string
	Style Style
}

// Cells are texts without a style.
func Cells(texts ...string) []Cell {
	cells := make([]Cell, len(texts))
	for i, text := range texts {
		cells[i].Text = text
	}
	return cells
}

// Table adds a table that is no wider than the page, whatever is in it. A text is wrapped between its words. A word that is wider
// than its column takes a line of its own, as df shows a long device, and the row goes on below: names stay whole, so that
// they can be copied. The head may be empty.
func (p *Page) Table(head []string, rows [][]Cell) {
	t := table{Page: p, head: head}
	for _, row := range rows {
		t.rows = append(t.rows, t.words(row))
	}
	t.widths = widths(p.screen.Columns, head, t.rows)
	if len(head) > 0 {
		cells := Cells(head...)
		for i := range cells {
			cells[i].Style = Head
			cells[i].Text = strings.ReplaceAll(cells[i].Text, " ", Together)
		}
		t.row(t.words(cells))
	}
	for _, row := range t.rows {
		t.row(row)
	}
}

// table is one that is being shown.
type table struct {
	*Page
	head   []string
	rows   [][]words
	widths []int
}

// words is a cell, cleaned and taken apart.
type words struct {
	style Style
	all   []string
}

func (t *table) words(row []Cell) []words {
	cells := make([]words, len(row))
	for i, c := range row {
		// plain has no room for a space that does not break: a tab stands in for it
		text := plain.Text(strings.ReplaceAll(c.Text, Together, "\t"))
		cells[i].style = c.Style
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\n' }) {
			if utf8.RuneCountInString(word) > t.screen.Columns { // a line has no room for all of it
				cells[i].all = append(cells[i].all, strings.FieldsFunc(word, func(r rune) bool { return r == '\t' })...)
				continue
			}
			cells[i].all = append(cells[i].all, strings.ReplaceAll(word, "\t", " "))
		}
	}
	return cells
}

// longest is the width of the longest word, whole that of the text on one line.
func (w words) longest() (n int) {
	for _, word := range w.all {
		n = max(n, utf8.RuneCountInString(word))
	}
	return n
}

func (w words) whole() int { return utf8.RuneCountInString(strings.Join(w.all, " ")) }

// lines wraps the words. One that is wider than the width is broken.
func (w words) lines(width int) (lines []string) {
	line, used := "", 0
	for _, word := range w.all {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			lines, line, used = append(lines, line), "", 0
		}
		for used == 0 && n > width {
			runes := []rune(word)
			lines, word = append(lines, string(runes[:width])), string(runes[width:])
			n = utf8.RuneCountInString(word)
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	if used > 0 || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// placed is the lines of a cell at a column of the screen.
type placed struct {
	at    int
	style Style
	lines []string
}

// row adds one row: the cells side by side, up to the first that does not fit into its column, and so on below.
func (t *table) row(cells []words) {
	var side []placed
	flush := func() {
		t.sideBySide(side)
		side = nil
	}
	at := 0
	for i, c := range cells {
		if c.longest() <= t.widths[i] {
			side = append(side, placed{at, c.style, c.lines(t.widths[i])})
		} else {
			left := t.left(at, c)
			if left < at {
				flush()
			}
			side = append(side, placed{left, c.style, c.lines(t.screen.Columns - left)})
			flush()
		}
		at += t.widths[i] + gap
	}
	flush()
}

// left is where a cell that does not fit into its column begins: there, or as far to the left as it has to.
func (t *table) left(at int, c words) int {
	if whole := c.whole(); whole <= t.screen.Columns {
		return min(at, t.screen.Columns-whole)
	}
	return max(0, min(at, t.screen.Columns-c.longest()))
}

func (t *table) sideBySide(cells []placed) {
	for n := 0; ; n++ {
		more, used := false, 0
		for _, c := range cells {
			if n >= len(c.lines) {
				continue
			}
			more = true
			if c.lines[n] == "" {
				continue
			}
			t.b.WriteString(strings.Repeat(" ", c.at-used) + t.painted(c.style, c.lines[n]))
			used = c.at + utf8.RuneCountInString(c.lines[n])
		}
		if !more {
			return
		}
		t.b.WriteString("\n")
	}
}

// widths says how wide each column is. First all words are to fit, the narrow columns' before the wide ones'; where they do, the
// rest of the page goes to texts that would be wrapped.
func widths(columns int, head []string, rows [][]words) []int {
	n := len(head)
	for _, row := range rows {
		n = max(n, len(row))
	}
	heads := make([]int, n)
	for i, text := range head {
		heads[i] = utf8.RuneCountInString(text)
	}
	fits := func(int, words) bool { return true }
	measure := func(of func(words) int) []int {
		out := slices.Clone(heads)
		for _, row := range rows {
			for i, c := range row {
				if fits(i, c) {
					out[i] = max(out[i], of(c))
				}
			}
		}
		return out
	}
	room := columns - gap*(n-1)
	first := grown(heads, measure(words.longest), room, inFull)
	// Words that have not fitted have lines of their own, and need no column.
	fits = func(i int, c words) bool { return c.longest() <= first[i] }
	least := measure(words.longest)
	wide := grown(least, measure(words.whole), room, inParts)
	tight := slices.Clone(least) // wrapped, a column may be narrower than what it was given
	for _, row := range rows {
		for i, c := range row {
			if !fits(i, c) {
				continue
			}
			for _, line := range c.lines(wide[i]) {
				tight[i] = max(tight[i], utf8.RuneCountInString(line))
			}
		}
	}
	return tight
}

// How room that is short is shared: inFull gives it to those that it is enough for, since half a word is of no use.
const (
	inFull  = true
	inParts = false
)

// grown is what widths become of those that want more, in all at most room.
func grown(have, want []int, room int, full bool) []int {
	out := slices.Clone(have)
	wanting := len(out)
	for _, n := range out {
		room -= n
	}
	done := make([]bool, len(out))
	for ; wanting > 0 && room > 0; wanting-- {
		next := -1 // the one that wants least
		for i := range out {
			if !done[i] && (next < 0 || want[i]-have[i] < want[next]-have[next]) {
				next = i
			}
		}
		done[next] = true
		most := room / wanting
		if full && want[next]-have[next] <= room {
			most = room
		}
		more := min(want[next]-have[next], most)
		out[next] += more
		room -= more
	}
	return out
}
