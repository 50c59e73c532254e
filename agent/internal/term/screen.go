// Package term lays out text for a person at a terminal.
package term

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

const (
	// Columns is how wide a page is where no terminal says otherwise.
	Columns = 80
	// minColumns is what a page takes on a narrower terminal: the terminal breaks its lines then.
	minColumns = 60
	// proseColumns is how long a line of prose gets on a wide terminal: longer ones are hard to read.
	proseColumns = 116
)

// Screen is where pages are shown. It is a writer for other text, too: names of processes,
// comments of rules and answers of peers are shown without what a terminal obeys.
type Screen struct {
	// Out is the terminal, file or pipe.
	Out io.Writer
	// Columns and Rows are its size; Rows is 0 where pages may have any length.
	Columns, Rows int
	// Color says that it shows colours, Terminal that what is shown can be replaced.
	Color, Terminal bool
}

// Of is the screen of a file such as os.Stdout. getenv is os.Getenv: NO_COLOR and TERM=dumb
// switch colours off; COLUMNS is the width where no terminal has one, as for ls and ps.
func Of(f *os.File, getenv func(string) string) Screen {
	s := Screen{Out: f, Columns: Columns}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 { // a file, or a pipe
			s.Columns = max(n, minColumns)
		}
		return s
	}
	s.Terminal = getenv("TERM") != "dumb"
	s.Color = s.Terminal && getenv("NO_COLOR") == ""
	s.Rows = int(size.Row)
	if size.Col > 0 { // a serial console does not know
		s.Columns = max(int(size.Col), minColumns)
	}
	return s
}

// Write implements io.Writer for text that is no page. Each call has whole characters, as those of fmt and json have.
func (s Screen) Write(text []byte) (int, error) { return plain.Writer(s.Out).Write(text) }

// Style is how a word is shown on a terminal with colours.
type Style string

// Styles are of the colours that each terminal has, in the shades that its user has chosen.
const (
	Plain Style = ""
	Head  Style = "1"    // bold
	Good  Style = "32"   // green
	Worth Style = "33"   // yellow: nothing that fails, and worth knowing
	Bad   Style = "1;31" // bold red
)
