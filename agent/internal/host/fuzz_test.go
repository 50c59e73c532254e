package host

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// FuzzOriginals: a file of any content opens; one that cannot be read is set aside, once.
func FuzzOriginals(f *testing.F) {
	for _, s := range []string{`{"before":{"net.ipv4.ip_forward":"0"}}`, `{"before":null}`, `[]`, `{`, ``} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "host.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		put(t, os.WriteFile(path, data, 0o600))
		o, err := OpenOriginals(path, slog.New(slog.DiscardHandler))
		put(t, err)
		_, _ = o.Get("net.ipv4.ip_forward")
		if _, err := OpenOriginals(path, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%q: the second time: %v", data, err)
		}
	})
}
