package compose

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// TestRead_Golden: files from the field become what their golden file says.
func TestRead_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Read(t.Context(), string(text), "shop", map[string]string{"TAG": "1.27"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".json"
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got)+"\n" != string(want) {
				t.Errorf("%s is not what %s has:\n%s", file, golden, got)
			}
		})
	}
}

// TestRead_Refused: what cannot be meant, or would be read from elsewhere, is an error that says where.
func TestRead_Refused(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"not YAML":               {"services: [", "yaml"},
		"unknown attribute":      {"services: {web: {image: nginx, imagee: x}}", "imagee"},
		"no image":               {"services: {web: {build: .}}", "services.web has no image"},
		"variable without value": {"services: {web: {image: 'nginx:${VERSION}'}}", "variables that have no value: VERSION"},
		"required variable":      {"services: {web: {image: 'nginx:${VERSION:?say which}'}}", "say which"},
		"another file":           {"services: {web: {extends: {file: other.yaml, service: web}}}", "docker compose config"},
		"relative bind":          {"services: {web: {image: nginx, volumes: ['./html:/html']}}", `"./html" is a path beside the file`},
		"volume without a name":  {"services: {web: {image: nginx, volumes: [/data]}}", "has no name"},
		"one of many ports":      {"services: {web: {image: nginx, ports: [{target: 80, published: '8000-8010'}]}}", `"8000-8010" is not one port`},
		"restart":                {"services: {web: {image: nginx, restart: sometimes}}", "sometimes"},
		"anchor in itself":       {"x-a: &a {b: {<<: *a}}\nservices: {web: {image: nginx}}", `line 1: the anchor "a" is part of itself`},
		"unknown network":        {"services: {web: {image: nginx, networks: [nowhere]}}", "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read(t.Context(), test.text, "shop", nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v, error %v, want one with %q", s, err, test.want)
			}
		})
	}
}

// TestRead_EachAttribute: whatever the specification of Compose has is carried over, or listed.
func TestRead_EachAttribute(t *testing.T) {
	for attribute, value := range map[string]string{
		"privileged": "true", "devices": "[/dev/fuse]", "init": "true", "ipc": "host", "pid": "host", "shm_size": "64m", "dns": "1.1.1.1",
		"extra_hosts": "['a:1.2.3.4']", "ulimits": "{nofile: 1024}", "security_opt": "['no-new-privileges:true']", "tty": "true", "platform": "linux/amd64",
		"network_mode": "host", "mac_address": "02:42:ac:11:65:43", "group_add": "[mail]", "userns_mode": "host", "oom_score_adj": "100", "volumes_from": "[other]",
	} {
		s, err := Read(t.Context(), "services: {web: {image: nginx, "+attribute+": "+value+"}, other: {image: nginx}}", "shop", nil)
		if err != nil {
			t.Errorf("%s: %v", attribute, err)
			continue
		}
		if !strings.Contains(strings.Join(s.Unsupported, "\n"), "services.web."+attribute) {
			t.Errorf("%s is not listed: %q", attribute, s.Unsupported)
		}
	}
}

func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("services: {web: {image: nginx, ports: ['80'], deploy: {}, healthcheck: {}}}")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Read(t.Context(), text, "shop", map[string]string{"TAG": "1"})
		if err != nil {
			return
		}
		for name, of := range s.Services {
			if of.Task.Image == "" || of.Name == "" {
				t.Errorf("service %q has no image or name", name)
			}
		}
	})
}
