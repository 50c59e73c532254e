package procstat

import (
	"os"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	rest := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 123456 20 21\n"
	for line, want := range map[string]uint64{
		"42 (sleep)" + rest: 123456, "42 (a) b (c) R 1)" + rest: 123456, "42 ()" + rest: 123456, "42 ( S 1 1 1)" + rest: 123456,
		"": 0, "42 (sleep) S 1": 0, "42 sleep" + rest: 0, strings.Replace("42 (x)"+rest, "123456", "-1", 1): 0, "42 (x)" + strings.Replace(rest, "S", "SS", 1): 0,
	} {
		state, start, err := Parse([]byte(line))
		if start != want || (err == nil) != (want != 0) || err == nil && state != 'S' {
			t.Errorf("%q: %c %d %v", line, state, start, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stat)
	f.Add([]byte("42 (a) b (c) R 1 S 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22"))
	f.Add([]byte(")"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _, _ = Parse(data) })
}
