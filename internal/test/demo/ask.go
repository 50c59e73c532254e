package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

const asked = 10

// A question is asked ten times, each time over a new connection.
type question struct {
	from string // a host of the lab
	to   string // address:port
	what string // of the node at that address
}

// answers are who answered how often.
type answers map[string]int

func (a answers) String() string {
	if len(a) == 0 {
		return "nobody"
	}
	var names []string
	for name := range a {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s ×%d", name, a[name])
	}
	return strings.Join(names, "  ")
}

// check says what is wrong: every request has to be answered by one of the endpoints, and every endpoint answers some.
func (a answers) check(endpoints []string) error {
	total := 0
	for name, n := range a {
		if !slices.Contains(endpoints, name) {
			return fmt.Errorf("%d of %d requests were answered by %q, which is no endpoint", n, asked, name)
		}
		total += n
	}
	if total != asked {
		return fmt.Errorf("%d of %d requests were not answered", asked-total, asked)
	}
	for _, e := range endpoints {
		if a[e] == 0 {
			return fmt.Errorf("the endpoint on %s answered none of %d requests", e, asked)
		}
	}
	return nil
}

// parseAnswers reads lines "QUESTION ANSWER"; without an answer nobody gave one.
func parseAnswers(out string) map[int]answers {
	got := map[int]answers{}
	for line := range strings.Lines(out) {
		number, answer, _ := strings.Cut(strings.TrimSpace(line), " ")
		i, err := strconv.Atoi(number)
		if err != nil || answer == "" {
			continue
		}
		if got[i] == nil {
			got[i] = answers{}
		}
		got[i][answer]++
	}
	return got
}

// ask asks all questions, with one login per host that asks, all at the same time. One curl makes the ten requests of
// a question, and closes the connection after each: under emulation it is starting a program that takes the time.
func (d *demo) ask(ctx context.Context, questions []question) ([]answers, error) {
	scripts := map[string]string{}
	for i, q := range questions {
		scripts[q.from] += fmt.Sprintf("curl -s -m 5 -H 'Connection: close'%s | sed 's/^/%d /'\n", strings.Repeat(" http://"+q.to+"/", asked), i)
	}
	got := make([]answers, len(questions))
	g, ctx := errgroup.WithContext(ctx)
	for from, script := range scripts {
		g.Go(func() error {
			out, err := d.lab.SSH(ctx, from, script)
			if err != nil {
				return err
			}
			for i, a := range parseAnswers(out) { // each host has questions of its own
				got[i] = a
			}
			return nil
		})
	}
	return got, g.Wait()
}

// askAndShow prints the table of who answered; the error is of the first row that is not as it should be.
func (d *demo) askAndShow(ctx context.Context, questions []question) error {
	got, err := d.ask(ctx, questions)
	if err != nil {
		return err
	}
	rows := [][]string{{"asked from", "asked", "", fmt.Sprintf("who answered %d requests", asked)}}
	var wrong error
	for i, q := range questions {
		row := []string{q.from, "http://" + q.to, q.what, got[i].String()}
		if err := got[i].check(d.endpoints); err != nil {
			row[3] += "  " + d.screen.bad("✗")
			if wrong == nil {
				wrong = fmt.Errorf("%s asked http://%s: %w", q.from, q.to, err)
			}
		}
		rows = append(rows, row)
	}
	d.screen.Table(rows)
	return wrong
}
