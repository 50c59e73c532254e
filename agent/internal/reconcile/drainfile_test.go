package reconcile

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDrainFile_BrokenIsAsNone: all of it is read or nothing, and what cannot be read goes.
func TestDrainFile_BrokenIsAsNone(t *testing.T) {
	whole := `{"drains":[{"port":"8080/tcp","service":"web","endpoint":"c","node":"n3","address":"10.255.2.2:80","deadline":"2999-01-01T00:00:30Z","timeout_seconds":30}]}`
	tests := map[string]struct {
		from, to string
		drains   int
		logged   string
	}{
		"whole":              {"", "", 1, ""},
		"torn":               {`"service"`, "", 0, "cannot read what an earlier agent let drain"},
		"no JSON":            {whole, "hello", 0, "cannot read"},
		"empty":              {whole, "", 0, "cannot read"},
		"null":               {whole, "null", 0, ""},
		"udp":                {"8080/tcp", "8080/udp", 0, "only tcp ports drain"},
		"no port":            {`"port":"8080/tcp",`, "", 0, "only tcp ports drain"},
		"an IPv6 address":    {"10.255.2.2:80", "[::1]:80", 0, "no IPv4 address"},
		"no address":         {`"address":"10.255.2.2:80",`, "", 0, "no IPv4 address"},
		"no timeout":         {`"timeout_seconds":30`, `"timeout_seconds":0`, 0, "must be 1–86400 s, not 0"},
		"an endless timeout": {`"timeout_seconds":30`, `"timeout_seconds":9223372036854775807`, 0, "must be 1–86400 s"},
		"no name":            {`"node":"n3"`, `"node":"/"`, 0, "is no name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(whole, test.from, test.to)
			if name == "whole" {
				text = whole
			}
			path, log := filepath.Join(t.TempDir(), "drains.json"), &bytes.Buffer{}
			written(t, path, text)
			f := drainFile{path: path}
			kept := f.load(slog.New(slog.NewTextHandler(log, nil)))
			if len(kept) != test.drains {
				t.Errorf("has %v", kept)
			}
			if got := log.String(); test.logged == "" && got != "" || !strings.Contains(got, test.logged) {
				t.Errorf("log: %s", got)
			}
			if err := f.save(drainSet{}); err != nil || onDisk(t, path) != "" {
				t.Errorf("the file stays when nothing drains: %v %s", err, onDisk(t, path))
			}
		})
	}
}

// FuzzParseDrains: what is read is what would be written and read again.
func FuzzParseDrains(f *testing.F) {
	f.Add([]byte(`{"drains":[{"port":"8080/tcp","service":"web","endpoint":"c","node":"n3","address":"10.255.2.2:80","deadline":"2026-01-01T00:00:30Z","timeout_seconds":30}]}`))
	f.Add([]byte(`{"drains":[{}]}`))
	f.Add([]byte(`{"drains":null}`))
	f.Add([]byte(`{"drains":[{"port":"1/tcp","service":"a","node":"a","address":"1.2.3.4:5","deadline":"9999-12-31T23:59:59.9Z","timeout_seconds":86400}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		kept, err := parseDrains(data)
		if err != nil {
			return
		}
		now := time.Now()
		for _, d := range kept {
			if left := d.resumed(now).Deadline.Sub(now); left > maxDrain {
				t.Errorf("%+v has %s left", d, left)
			}
		}
		text, err := json.Marshal(drainsOnDisk{kept.sorted()})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseDrains(text)
		if err != nil || len(again) != len(kept) {
			t.Fatalf("%s is read as %v, %v", text, again, err)
		}
		for key, d := range kept {
			if other := again[key]; other.key() != d.key() || !other.Deadline.Equal(d.Deadline) {
				t.Errorf("%+v is read again as %+v", d, other)
			}
		}
	})
}
