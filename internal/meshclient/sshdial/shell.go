package sshdial

import "strings"

// Every command that is sent is one line in the form that all login shells
// understand alike: sh, bash, zsh, fish, csh and tcsh. It is
//
//	exec /bin/sh -c 'OUTER' 'INNER'
//
// and neither script has a quote ('), an exclamation mark (csh's history), a
// backslash (an escape in fish's quotes) or a newline (which csh does not take in
// quotes), nor more than maxWord characters (BSD csh's words end at 1024).
const maxWord = 1000

// The marks are lines that our own sh prints, on stdout and stderr. What comes
// before loginMark is what the login prints by itself. Without rootMark after
// it, sudo or doas refused, whatever its words are.
const (
	loginMark = "routingmesh-login"
	rootMark  = "routingmesh-root"
)

// say prints the mark on both outputs. The quotes keep it out of the command's
// own text, which some logins print.
func say(mark string) string {
	word := strings.Replace(mark, "-", `"-"`, 1)
	return "echo " + word + "; echo " + word + " >&2; "
}

// escalate chooses the program that makes INNER ($0) run as root: sudo, doas
// where there is no sudo, and doas as well where sudo refuses. Only where both
// are installed sudo is tried beforehand. stdin is INNER's alone.
const escalate = `e=; command -v doas >/dev/null 2>&1 && e=doas; ` +
	`if command -v sudo >/dev/null 2>&1; then ` +
	`if [ -z "$e" ] || sudo -n /bin/sh -c : </dev/null >/dev/null; then e=sudo; fi; fi; ` +
	`if [ -z "$e" ]; then echo "neither sudo nor doas is installed" >&2; exit 126; fi; ` +
	`exec $e -n /bin/sh -c "$0"`

// CommandLine is the one line that is sent to run the script as root. The script
// is for /bin/sh, at most 900 characters, and without a quote ('), an exclamation
// mark, a backslash and a newline: every login shell then passes it on unchanged.
func (e *Endpoint) CommandLine(script string) string { return commandLine(script, e.Sudo) }

func commandLine(script string, sudo bool) string {
	inner := say(rootMark) + script
	if !sudo {
		return "exec /bin/sh -c '" + inner + "'"
	}
	return "exec /bin/sh -c '" + say(loginMark) + escalate + "' '" + inner + "'"
}
