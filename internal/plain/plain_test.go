package plain

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile has what a host may send and a terminal would obey, or show as something else.
var hostile = map[string]string{
	"plain":                      "plain",
	"grüße, 日本 – ok":             "grüße, 日本 – ok",
	"a\tb\nc":                    "a\tb\nc",
	"\x1b[31mred\x1b[0m":         "red",
	"\x1b]0;owned\x07title":      "title",
	"\x1b]8;;http://x\x1b\\link": "link",
	"\x1bP1;2q\x1b\\sixel":       "sixel",
	"\x1bcreset":                 "reset",
	"\x1b[2Jclear":               "clear",
	"cut\x1b[":                   "cut",
	"cut\x1b":                    "cut",
	"c1 \u009b31mred":            "c1 red",
	"\u009d0;title\u009ctext":    "text",
	"\u0085next line":            "next line",
	"raw \x9b31m":                "raw ?31m",
	"bidi \u202egnp.exe\u202c":   "bidi gnp.exe",
	"isolate \u2066x\u2069":      "isolate x",
	"marks \u200e\u200f\u061c":   "marks ",
	"zero\u200bwidth\ufeff":      "zerowidth",
	"tags \U000e0041":            "tags ",
	"over\rwritten":              "over\nwritten",
	"dos\r\nline":                "dos\nline",
	"bell\x07 back\x08 del\x7f":  "bell back del",
	"nul\x00":                    "nul",
}

func TestText(t *testing.T) {
	for in, want := range hostile {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWriter(t *testing.T) {
	for in, want := range hostile {
		var whole, bytewise strings.Builder
		_, _ = Writer(&whole).Write([]byte(in))
		if whole.String() != want {
			t.Errorf("%q: %q, want %q", in, whole.String(), want)
		}
		w := Writer(&bytewise)
		for i := range len(in) {
			if n, err := w.Write([]byte{in[i]}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := bytewise.String(); !isPlain(got) {
			t.Errorf("%q, byte by byte: %q", in, got)
		}
	}
}

// Strings and names at any depth are cleaned; what has rules of its own is not touched, nor
// are numbers.
func TestJSON(t *testing.T) {
	in := `{"text":"\u001b[2Ja","n":18446744073709551615,"list":["\u202eb",{"k\u009b":"\u0007v"}],"record":{"x":"\u001b"}}`
	out, err := JSON([]byte(in), "record")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"list":["b",{"k":"v"}],"n":18446744073709551615,"record":{"x":"\u001b"},"text":"a"}`; string(out) != want {
		t.Errorf("%s\nwant %s", out, want)
	}
	same := []byte(`{"text": "a \"quoted\" word\n", "n": 1.0}`)
	if out, err := JSON(same); err != nil || &out[0] != &same[0] {
		t.Errorf("a document without anything suspicious was made again: %s, %v", out, err)
	}
	if _, err := JSON([]byte("{\x7f")); err == nil {
		t.Error("a broken document is no error")
	}
}

func FuzzText(f *testing.F) {
	for in := range hostile {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := Text(in)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("%q: %q", in, got)
		}
		if again := Text(got); again != got {
			t.Errorf("%q: %q, and again %q", in, got, again)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"text":"\u001b[2Ja","n":1e400,"list":["\u202eb",null,true]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := JSON(in)
		if err != nil {
			return
		}
		if json.Valid(in) != json.Valid(out) {
			t.Fatalf("%q: %q", in, out)
		}
		var v any
		if json.Unmarshal(out, &v) != nil {
			return
		}
		checkPlain(t, v)
	})
}

func checkPlain(t *testing.T, v any) {
	switch v := v.(type) {
	case string:
		if !isPlain(v) {
			t.Errorf("%q is not plain", v)
		}
	case []any:
		for _, e := range v {
			checkPlain(t, e)
		}
	case map[string]any:
		for name, e := range v {
			checkPlain(t, name)
			checkPlain(t, e)
		}
	}
}
