// Package plain makes text that comes from a host, a file or another program fit to be
// shown: without what a terminal obeys (escape sequences, C0 and C1 controls) and without
// what makes text read other than it is (bidirectional controls, invisible characters).
package plain

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapes are whole sequences of a terminal, in their 7-bit and 8-bit forms: CSI (colours,
// cursor), strings that end with BEL or ST (OSC: titles, DCS, SOS, PM, APC), and two
// characters. What is left of one that is not whole is harmless without its introducer.
var escapes = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]|" +
	"(?:\x1b[\\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)?|" +
	"\x1b[ -/]*[0-~]")

// Text is s without all of that. Line breaks and tabs stay; a carriage return, which would
// have the line written over, becomes a line break.
func Text(s string) string {
	if isPlain(s) {
		return s
	}
	s = escapes.ReplaceAllString(strings.ToValidUTF8(s, "?"), "")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case visible(r):
			return r
		}
		return -1
	}, s)
}

func visible(r rune) bool { return r == '\n' || r == '\t' || unicode.IsPrint(r) }

// isPlain says that Text would change nothing.
func isPlain(s string) bool {
	for i, r := range s {
		if !visible(r) || r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)) {
			return false
		}
	}
	return true
}

// JSON applies Text to every string in a JSON document, but for what stands under a name
// in except at its top, which has rules of its own.
func JSON(data []byte, except ...string) ([]byte, error) {
	if !suspicious(data) {
		return data, nil
	}
	if err := json.Unmarshal(data, &json.RawMessage{}); err != nil { // the decoder stops after one value
		return nil, err
	}
	var top any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&top); err != nil {
		return nil, err
	}
	kept := map[string]json.RawMessage{}
	if _, ok := top.(map[string]any); ok && len(except) > 0 {
		if err := json.Unmarshal(data, &kept); err != nil {
			return nil, err
		}
	}
	cleaned := clean(top)
	if object, ok := cleaned.(map[string]any); ok {
		for _, name := range except {
			if raw, ok := kept[name]; ok {
				object[name] = raw
			}
		}
	}
	return json.Marshal(cleaned)
}

// suspicious says that a document may have a string that is not plain: it has an escape
// other than a quote's, or anything beyond ASCII.
func suspicious(data []byte) bool {
	for i, b := range data {
		if b >= 0x7f || b == '\\' && i+1 < len(data) && strings.IndexByte(`ubfr`, data[i+1]) >= 0 {
			return true
		}
	}
	return false
}

func clean(v any) any {
	switch v := v.(type) {
	case string:
		return Text(v)
	case []any:
		for i := range v {
			v[i] = clean(v[i])
		}
	case map[string]any:
		object := make(map[string]any, len(v))
		for name, value := range v {
			object[Text(name)] = clean(value)
		}
		return object
	}
	return v
}

// Writer applies Text to what is written to w.
func Writer(w io.Writer) io.Writer { return &writer{w: w} }

type writer struct {
	w    io.Writer
	rest []byte // of a character that is not whole yet
}

func (w *writer) Write(p []byte) (int, error) {
	data := slices.Concat(w.rest, p)
	whole := len(data)
	for n := 1; n < utf8.UTFMax && n <= len(data); n++ {
		if start := len(data) - n; utf8.RuneStart(data[start]) {
			if !utf8.FullRune(data[start:]) {
				whole = start
			}
			break
		}
	}
	w.rest = bytes.Clone(data[whole:])
	if _, err := io.WriteString(w.w, Text(string(data[:whole]))); err != nil {
		return 0, err
	}
	return len(p), nil
}
