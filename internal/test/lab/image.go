package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

//go:embed scripts/image.sh
var imageScript string

//go:embed scripts/customize.sh
var customizeScript string

//go:embed scripts/init.sh
var initScript string

func (l *Lab) imageDir() string {
	return filepath.Join(l.Cache, imageHash(l.Packages, imageScript, customizeScript, initScript))
}

// image builds the image if no checkout of this user has done so. It appears whole or not at all, and of two
// builders the second waits for the first.
func (l *Lab) image() error {
	final := l.imageDir()
	if _, err := os.Stat(final); err == nil {
		return nil
	}
	if err := os.MkdirAll(l.Cache, 0o755); err != nil {
		return err
	}
	unlock, err := lock(final + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(final); err == nil {
		return nil
	}
	tmp := final + ".tmp"
	defer func() { _ = asRoot("rm", "-rf", "--one-file-system", tmp).Run() }()
	return step(fmt.Sprintf("build the image: Debian %s with %d packages, about a minute", suite, len(l.Packages)), func() error {
		if err := l.buildImage(tmp, final+".log"); err != nil {
			return err
		}
		return os.Rename(tmp, final)
	})
}

func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		fmt.Printf("lab: somebody else holds %s; waiting\n", path)
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			return nil, err
		}
	}
	return func() { f.Close() }, nil
}

func (l *Lab) buildImage(tmp, logPath string) error {
	if err := quiet(asRoot("rm", "-rf", "--one-file-system", tmp)); err != nil {
		return err
	}
	scripts := filepath.Join(tmp, "scripts")
	if err := os.MkdirAll(scripts, 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{"image.sh": imageScript, "customize.sh": customizeScript, "init.sh": initScript} {
		if err := os.WriteFile(filepath.Join(scripts, name), []byte(content), 0o755); err != nil {
			return err
		}
	}
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	env := []string{
		"env", "SUITE=" + suite, "PACKAGES=" + strings.Join(l.Packages, ","), "APTOPTS=" + aptProxy(),
		"bash", filepath.Join(scripts, "image.sh"), tmp,
	}
	cmd := asRoot(env[0], append(env[1:], aptSources()...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w; a package name in LAB_PACKAGES, the network or the disk? The end of %s:\n%s", err, logPath, tailFile(logPath, 15))
	}
	return quiet(asRoot("chown", "-R", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), tmp))
}

// aptSources are the mirrors this machine uses itself, if it is a Debian: they are near, or the only ones it
// may reach. Elsewhere Debian's own.
func aptSources() []string {
	out, _ := exec.Command("apt-get", "indextargets", "--format", "$(CREATED_BY) $(ORIGIN) $(RELEASE) $(COMPONENT) $(REPO_URI)").Output()
	return sourcesFrom(string(out))
}

func sourcesFrom(targets string) []string {
	const line = "deb [signed-by=" + debianKeyring + "] %s %s main"
	var own []string
	archive := "http://deb.debian.org/debian"
	for t := range strings.Lines(targets) {
		f := strings.Fields(t)
		if len(f) != 5 || f[0] != "Packages" || f[1] != "Debian" || f[3] != "main" {
			continue
		}
		switch {
		case f[2] == suite || strings.HasPrefix(f[2], suite+"-") && f[2] != suite+"-backports":
			own = append(own, fmt.Sprintf(line, f[4], f[2]))
		case !strings.Contains(f[2], "-"): // another release of Debian: its mirror has ours, too
			archive = f[4]
		}
	}
	if len(own) > 0 {
		return own
	}
	return []string{
		fmt.Sprintf(line, archive, suite),
		fmt.Sprintf(line, archive, suite+"-updates"),
		fmt.Sprintf(line, "http://deb.debian.org/debian-security", suite+"-security"),
	}
}

// aptProxy hands on the one setting of this machine's apt that decides whether it reaches a mirror at all.
func aptProxy() string {
	out, _ := exec.Command("apt-config", "dump", "--format", "%F \"%v\";%n", "Acquire::http::Proxy").Output()
	if line := strings.TrimSpace(string(out)); strings.HasPrefix(line, "Acquire::http::Proxy \"h") {
		return line
	}
	return ""
}
