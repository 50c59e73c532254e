package engine

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxProgress is how long a line of a pull's progress may be.
const maxProgress = 64 << 10

// Pull has the engine pull an image, with the credentials that root of this host has for its registry.
func (c *Control) Pull(ctx context.Context, root, ref string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(pullIdle, cancel)
	defer idle.Stop()
	header := http.Header{}
	if auth := credentials(root, ref); auth != "" {
		header.Set("X-Registry-Auth", auth)
	}
	name, tag := splitImage(ref)
	query := url.Values{"fromImage": {name}, "tag": {tag}}
	return c.do(ctx, pullTime, http.MethodPost, "/images/create", query, header, nil, func(r io.Reader) error {
		return readProgress(r, func() { idle.Reset(pullIdle) })
	})
}

// readProgress reads a JSON object per line to the end, and returns the error that one of them
// is: the answer's status is OK all the same.
func readProgress(r io.Reader, alive func()) error {
	lines := bufio.NewReaderSize(r, maxProgress)
	var failure error
	for skip := false; ; {
		line, err := lines.ReadSlice('\n')
		alive()
		if text := errorOf(line); text != "" && !skip {
			failure = &refusal{http.StatusInternalServerError, text}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // what is so long is no error
			skip = true
		case errors.Is(err, io.EOF):
			return failure
		case err != nil:
			return cmp.Or(failure, err)
		default:
			skip = false
		}
	}
}

// errorOf is the text of a line that is an error, "" of another.
func errorOf(line []byte) string {
	var wire struct {
		Error       string
		ErrorDetail struct{ Message string }
	}
	if !bytes.Contains(line, []byte("rror")) || json.Unmarshal(line, &wire) != nil {
		return ""
	}
	return cmp.Or(wire.ErrorDetail.Message, wire.Error)
}

// splitImage returns an image's name and its tag or digest. Without a tag, an engine would pull
// all of them.
func splitImage(ref string) (name, tag string) {
	if name, digest, ok := strings.Cut(ref, "@"); ok {
		if i := tagAt(name); i >= 0 {
			name = name[:i]
		}
		return name, digest
	}
	if i := tagAt(ref); i >= 0 {
		return ref[:i], ref[i+1:]
	}
	return ref, "latest"
}

// tagAt is where the colon of a tag is, -1 without one: a registry's port has one too.
func tagAt(name string) int {
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return i
	}
	return -1
}

// credentialFiles are where docker and podman keep what root has logged in to.
var credentialFiles = []string{"root/.docker/config.json", "run/containers/0/auth.json", "root/.config/containers/auth.json"}

// maxCredentials is how large a file of them may be.
const maxCredentials = 1 << 20

// dockerHub is how Docker writes the registry of images that name none.
const dockerHub = "https://index.docker.io/v1/"

// credentials is the header for the image's registry, "" where root has not logged in. What
// a helper program keeps is not asked for.
func credentials(root, ref string) string {
	registry, path := registryOf(ref)
	for _, file := range credentialFiles {
		var config struct {
			Auths map[string]struct{ Auth, Username, Password, IdentityToken string }
		}
		if json.Unmarshal(readSmall(filepath.Join(root, file)), &config) != nil {
			continue
		}
		for _, key := range keysFor(registry, path) {
			entry, ok := config.Auths[key]
			if !ok {
				continue
			}
			user, password := entry.Username, entry.Password
			if plain, err := base64.StdEncoding.DecodeString(entry.Auth); err == nil && len(plain) > 0 {
				user, password, _ = strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
			}
			if user == "" && entry.IdentityToken == "" {
				continue
			}
			wire := map[string]string{"serveraddress": key}
			if entry.IdentityToken != "" {
				wire["identitytoken"] = entry.IdentityToken
			} else {
				wire["username"], wire["password"] = user, password
			}
			data, _ := json.Marshal(wire) // strings can be written
			return base64.URLEncoding.EncodeToString(data)
		}
	}
	return ""
}

// readSmall is the content of a file, nothing of one that is missing or too large.
func readSmall(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
	if err != nil || len(data) > maxCredentials {
		return nil
	}
	return data
}

// registryOf returns the host of an image's registry, and the path in it, as Docker reads a name.
func registryOf(ref string) (registry, path string) {
	name, _ := splitImage(ref)
	first, rest, ok := strings.Cut(name, "/")
	if ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		return first, rest
	}
	return "docker.io", name
}

// keysFor are the keys under which a registry's credentials may be, those of Podman for a part
// of it first.
func keysFor(registry, path string) []string {
	var keys []string
	for p := path; p != ""; {
		keys = append(keys, registry+"/"+p)
		i := strings.LastIndexByte(p, '/')
		p = p[:max(i, 0)]
	}
	keys = append(keys, registry, "https://"+registry, "https://"+registry+"/v1/", "https://"+registry+"/v2/")
	if registry == "docker.io" {
		keys = append(keys, dockerHub, "index.docker.io", "registry-1.docker.io")
	}
	return keys
}
