package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	endpoints := []string{"n2", "n3"}
	for name, c := range map[string]struct {
		out, shown, wrong string
	}{
		"both":            {strings.Repeat("4 n2\n4 n3\n", 5), "n2 ×5  n3 ×5", ""},
		"one is left out": {strings.Repeat("4 n2\n", 10), "n2 ×10", "the endpoint on n3 answered none"},
		"some are lost":   {strings.Repeat("4 n2\n4 n3\n4 \n", 3), "n2 ×3  n3 ×3", "4 of 10 requests were not answered"},
		"a stranger":      {strings.Repeat("4 n1\n", 10), "n1 ×10", `"n1", which is no endpoint`},
		"nobody":          {"4 \n4\n5 n2\n", "nobody", "10 of 10 requests were not answered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := parseAnswers(c.out)[4]
			if a.String() != c.shown {
				t.Errorf("shown as %q, want %q", a, c.shown)
			}
			err := a.check(endpoints)
			if (err == nil) != (c.wrong == "") || (err != nil && !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("check says %v, want %q", err, c.wrong)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	for plan, want := range map[string]string{
		"a.b: Refreshing state...\n\nNo changes. Your infrastructure matches the configuration.\n\nmore": "No changes. Your infrastructure matches the configuration.",
		"  + create\n\nPlan: 1 to add, 0 to change, 0 to destroy.\n":                                     "Plan: 1 to add, 0 to change, 0 to destroy.",
		"something else": "something else",
	} {
		if got := summary(plan); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestScreenWithoutColour(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &Screen{out: &out, start: time.Now()}
	if err := s.Step("Try", func() error {
		s.Detail("one\ntwo\n")
		s.Table([][]string{{"from", "who"}, {"n1", "n2 ×5"}})
		s.OK("good")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	const want = `
  0:00  Try
        │ one
        │ two
        from   who
        n1     n2 ×5
        ✓ good
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}
