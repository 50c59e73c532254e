package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseList_Limits(t *testing.T) {
	row := func(id, names, labels string) string {
		return fmt.Sprintf(`{"Id":%q,"Names":%s,"Created":1,"Labels":%s}`, id, names, labels)
	}
	large := `{"a":"` + strings.Repeat("x", maxLabels) + `"}`
	rows, omitted, err := parseList(strings.NewReader("[" + strings.Join([]string{
		row(idA, `["/web"]`, `{"a":"b"}`),
		row(idB, `["/db/web","/web2"]`, "null"),
		row("../../x", `["/web"]`, "{}"),
		row(idA, `["/again"]`, "{}"),
		row(idC, `["/web"]`, large),
		row(idC, `["/w\u001b[2J"]`, "{}"),
		row(idC, `[]`, "{}"), row(idC, `"web"`, "{}"), row(idC, `["/web"]`, `["a"]`),
		"null", "7", `{"Id":7}`,
	}, ",") + "]"))
	if err != nil || len(rows) != 2 || omitted != 10 {
		t.Fatalf("%v, %d omitted, %v", rows, omitted, err)
	}
	if rows[0].name != "web" || rows[0].labels["a"] != "b" || rows[1].name != "web2" || len(rows[1].labels) > 0 {
		t.Errorf("%+v", rows)
	}
}

func TestParseList_TooMany_FirstKept(t *testing.T) {
	var b bytes.Buffer
	for i := range maxContainers + 10 {
		fmt.Fprintf(&b, `,{"Id":"%064x","Names":["/web"]}`, i)
	}
	rows, omitted, err := parseList(strings.NewReader("[" + b.String()[1:] + "]"))
	if err != nil || len(rows) != maxContainers || omitted != 10 {
		t.Errorf("%d rows, %d omitted, %v", len(rows), omitted, err)
	}
}

func TestParseList_Broken(t *testing.T) {
	for _, text := range []string{"", "{}", "[", "[{]", `[{"Id":"x"}`, "null", "<html>"} {
		if rows, _, err := parseList(strings.NewReader(text)); err == nil {
			t.Errorf("%q is %v", text, rows)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct{ newest, oldest, want string }{
		{"1.41", "1.12", "1.41"}, {"1.51", "1.24", "1.41"}, {"1.52", "1.44", "1.44"}, {"1.53", "1.40", "1.41"}, {"1.44", "1.24", "1.41"},
		{"1.30", "1.12", "1.30"}, {"1.60", "1.52", "1.52"}, {"1.41", "0.0", "1.41"}, {"2.0", "1.44", "1.44"},
		{"1.60", "1.53", ""}, {"2.0", "2.0", ""}, {"1.23", "1.12", ""}, {"1.40", "1.44", ""},
	} {
		newest, _ := parseAPIVersion(test.newest)
		oldest, _ := parseAPIVersion(test.oldest)
		got, err := offer{newest: newest, oldest: oldest}.choose()
		if (err == nil) != (test.want != "") || err == nil && got.String() != test.want {
			t.Errorf("from %s to %s: %v, %v, want %q", test.oldest, test.newest, got, err, test.want)
		}
	}
}

func TestReadEvents_TooLong_StandsForAny(t *testing.T) {
	good := `{"Type":"container","Action":"die","Actor":{"ID":"` + idA + `"}}` + "\n"
	text := good + `{"Type":"` + strings.Repeat("x", 3*maxEvent) + "\"}\n" + "no JSON\n" + good
	var got []event
	err := readEvents(strings.NewReader(text), func(e event) { got = append(got, e) })
	die := event{idA, true, true}
	if want := []event{die, {}, die}; !slices.Equal(got, want) || err == nil {
		t.Errorf("%v, %v", got, err)
	}
}

// seeds are the goldens of one kind.
func seeds(f *testing.F, name string) {
	files, err := filepath.Glob("testdata/*/" + name)
	if err != nil || len(files) != len(profiles) {
		f.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{"", "null", "[]", "{}", "<html>", "[{}]", `{"a":`} {
		f.Add([]byte(text))
	}
}

func FuzzList(f *testing.F) {
	seeds(f, "list.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, _, err := parseList(bytes.NewReader(data))
		if err != nil && len(rows) > 0 {
			t.Error("rows with an error")
		}
		for _, r := range rows {
			labels, _ := json.Marshal(r.labels)
			if !validID.MatchString(r.id) || !validName.MatchString(r.name) || len(labels) > 6*maxLabels { // invalid UTF-8 is longer when it is written
				t.Errorf("%+v", r)
			}
		}
	})
}

func FuzzInspect(f *testing.F) {
	seeds(f, "inspect.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseInspect(bytes.NewReader(data))
		if err == nil && (d.pid < 0 || d.pid == 1 || d.pid > maxPID || len(d.startedAt) > maxQuote || d.pid != 0 && !d.running) {
			t.Errorf("%+v", d)
		}
	})
}

func FuzzEvent(f *testing.F) {
	seeds(f, "event.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		e, ok := parseEvent(data)
		if ok && (!validID.MatchString(e.id) || !e.relists) || !ok && e.relists {
			t.Errorf("%+v", e)
		}
		_ = readEvents(bytes.NewReader(data), func(event) {})
	})
}

func FuzzVersion(f *testing.F) {
	seeds(f, "version.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parseVersion(bytes.NewReader(data))
		if err != nil {
			return
		}
		if v, err := o.choose(); err == nil && (v.less(oldestAPI) || newestAPI.less(v) || v.less(o.oldest) || o.newest.less(v)) {
			t.Errorf("%+v is spoken to in %v", o, v)
		}
	})
}
