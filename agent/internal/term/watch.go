package term

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/wait"
)

// Every is from the end of one round of Watch to the next.
const Every = 2 * time.Second

// Watch shows what draw draws, again and again until ctx has ended: on a terminal in place of the one before, elsewhere after a line
// with the time. screen is asked each time, for a window may change its size. An error of the first round ends it: of a later one it
// is shown, and the next round may do better.
func Watch(ctx context.Context, screen func() Screen, draw func(ctx context.Context, to Screen) error) error {
	for first := true; ; first = false {
		s := screen()
		var drawn bytes.Buffer
		to := s
		to.Out = &drawn
		err := draw(ctx, to)
		switch {
		case ctx.Err() != nil: // in the middle of a page
			return nil //nolint:nilerr // Ctrl-C is how it ends
		case err != nil && first:
			return err
		case err != nil:
			p := On(to)
			p.Fold([]Cell{{"Error: ", Bad}}, "", err.Error())
			if err := p.Show(); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(s.Out, s.round(drawn.String(), first)); err != nil {
			return err
		}
		if !wait.For(ctx, Every) {
			return nil
		}
	}
}

// round is what is written to have a page on the screen.
func (s Screen) round(page string, first bool) string {
	if !s.Terminal {
		return fmt.Sprintf("--- %s\n%s", time.Now().Format(time.RFC3339), page)
	}
	lines := strings.SplitAfter(fmt.Sprintf("%s, every %s; Ctrl-C ends it\n\n%s", time.Now().Format(time.TimeOnly), Every, page), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if more := len(lines) - s.Rows + 2; s.Rows > 2 && more > 1 { // the cursor has the last line
		lines = append(lines[:len(lines)-more], fmt.Sprintf("… %d more lines: without --watch all are shown\n", more))
	}
	var b strings.Builder
	if first {
		b.WriteString("\x1b[2J")
	}
	b.WriteString("\x1b[H") // over the page before, and without a blank screen between them
	for _, line := range lines {
		b.WriteString(strings.TrimSuffix(line, "\n") + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	return b.String()
}
