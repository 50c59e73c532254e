// Package doclinks has a test only: no relative link of the documentation, and no page that the code names, is missing.
package doclinks

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = "../../.."

var (
	link       = regexp.MustCompile(`\]\(([^)\s]+)[^)]*\)`)
	anchor     = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	heading    = regexp.MustCompile(`^#{1,6} +(.+?)(?: +#+)?$`)
	markdown   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)|[*` + "`" + `]`)
	fence      = regexp.MustCompile("^ *(```|~~~)")
	codeSpan   = regexp.MustCompile("`[^`]*`")
	namedPages = regexp.MustCompile(`\bdocs/[\w./-]*\w\.(?:md|svg)\b`)
)

// TestLinks_Docs_Resolve follows every relative link of the Markdown files and of the templates that docs/ is made of. Like
// the registry's, links between the generated pages have no extension.
func TestLinks_Docs_Resolve(t *testing.T) {
	t.Parallel()
	pages := files(t, func(name string) bool { return strings.HasSuffix(name, ".md") || strings.HasSuffix(name, ".md.tmpl") })
	if len(pages) < 10 {
		t.Fatalf("only %d pages: %v", len(pages), pages)
	}
	for _, page := range pages {
		at := page
		if rest, ok := strings.CutPrefix(page, "templates/"); ok { // it is read where it is rendered to
			at = "docs/" + strings.TrimSuffix(rest, ".tmpl")
		}
		for n, line := range prose(read(t, page)) {
			for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
				if err := resolve(at, m[1]); err != nil {
					t.Errorf("%s:%d: the link (%s) is dead: %v", page, n+1, m[1], err)
				}
			}
		}
	}
}

// TestLinks_Code_PagesExist: the pages under docs/ that code, scripts and make files name are there.
func TestLinks_Code_PagesExist(t *testing.T) {
	t.Parallel()
	named := 0
	for _, file := range files(t, func(name string) bool {
		return slices.Contains([]string{".go", ".sh", ".yml", ".mk", ".md"}, path.Ext(name)) || path.Base(name) == "GNUmakefile"
	}) {
		if file == "CHANGELOG.md" { // of the past
			continue
		}
		for n, line := range strings.Split(read(t, file), "\n") {
			for _, page := range namedPages.FindAllString(line, -1) {
				named++
				if _, err := os.Stat(filepath.Join(root, page)); err != nil {
					t.Errorf("%s:%d names %s, which is not there", file, n+1, page)
				}
			}
		}
	}
	if named == 0 {
		t.Error("no file names a page: the pattern is wrong")
	}
}

func TestSlug(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Which scheduler, when?":     "which-scheduler-when",
		"`drift` and *repair*":       "drift-and-repair",
		"See [the guide](guides/a)":  "see-the-guide",
		"host_keys: read-only, _so_": "host_keys-read-only-_so_",
		"A – B":                      "a--b",
	} {
		if got := slug(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// resolve finds what a link on a page leads to.
func resolve(page, to string) error {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") || strings.Contains(to, "{{") {
		return nil
	}
	file, fragment, _ := strings.Cut(strings.ReplaceAll(to, `\_`, "_"), "#") // as terraform-docs writes them
	target := page
	if file != "" {
		target = path.Join(path.Dir(page), file)
	}
	info, err := os.Stat(filepath.Join(root, target))
	if err != nil && path.Ext(target) == "" && strings.HasPrefix(page, "docs/") {
		target += ".md"
		info, err = os.Stat(filepath.Join(root, target))
	}
	if err != nil {
		return fmt.Errorf("there is no %s", target)
	}
	if fragment == "" || info.IsDir() || !strings.HasSuffix(target, ".md") {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(root, target))
	if err != nil {
		return err
	}
	if has := anchors(string(text)); !slices.Contains(has, fragment) {
		return fmt.Errorf("%s has no #%s; it has %s", target, fragment, strings.Join(has, " "))
	}
	return nil
}

// anchors are those that GitHub and the registry make of the headings, and those that are written out.
func anchors(text string) (all []string) {
	seen := map[string]int{}
	for _, line := range prose(text) {
		for _, m := range anchor.FindAllStringSubmatch(line, -1) {
			all = append(all, m[1])
		}
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		s := slug(m[1])
		if n := seen[s]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", s, n))
		} else {
			all = append(all, s)
		}
		seen[s]++
	}
	return all
}

// slug is GitHub's: lower case, of the punctuation only hyphens and underscores, spaces become hyphens.
func slug(text string) string {
	text = markdown.ReplaceAllString(text, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// prose is the lines of a page, those within code blocks blanked.
func prose(text string) []string {
	lines, code := strings.Split(text, "\n"), false
	for i, line := range lines {
		if fence.MatchString(line) {
			code = !code
			lines[i] = ""
		} else if code {
			lines[i] = ""
		}
	}
	return lines
}

// files lists what the repository has, below its root, but for what is made or fetched.
func files(t *testing.T, want func(name string) bool) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", ".lab", "bin", "dist"}, name) {
				return fs.SkipDir
			}
			return nil
		}
		if want(name) {
			all = append(all, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
