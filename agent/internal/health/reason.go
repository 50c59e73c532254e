package health

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// failure is a reason in its own words.
type failure string

func (f failure) Error() string { return string(f) }

// handshakeError is that TLS was not agreed upon.
type handshakeError struct{ cause error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.cause.Error() }
func (e *handshakeError) Unwrap() error { return e.cause }

// reason puts why a check failed into words without anything that would be another
// the next time, as a port of ours; "" for nil.
func reason(err error, timeout time.Duration) string {
	var (
		own       failure
		code      syscall.Errno
		plain     tls.RecordHeaderError
		handshake *handshakeError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &own):
		return string(own)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return "no answer within " + timeout.String()
	case errors.Is(err, unix.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return "connection reset"
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return "no route to it"
	case errors.As(err, &code):
		return code.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed without an answer"
	case errors.As(err, &plain):
		return "no TLS is spoken there"
	case errors.As(err, &handshake):
		return "TLS handshake failed"
	}
	return "the answer is not HTTP"
}
