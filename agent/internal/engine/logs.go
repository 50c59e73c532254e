package engine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// maxLogs is how many bytes of logs are read for the last ones: a line may be long.
const maxLogs = 64 << 20

// frames reads what an engine sends of a container without a terminal: frames of 8 bytes and a
// text, those of stdout and stderr mixed. What has no frames, as with a terminal, it passes on.
type frames struct {
	r      *bufio.Reader
	left   uint32
	raw    bool
	within bool // a frame has been read: from now on all are
}

// demultiplex returns the texts alone.
func demultiplex(r io.Reader) io.Reader {
	return &frames{r: bufio.NewReader(io.LimitReader(r, maxLogs))}
}

// Read implements io.Reader.
func (f *frames) Read(p []byte) (int, error) {
	for f.left == 0 && !f.raw {
		head, err := f.r.Peek(8)
		switch {
		case isFrame(head):
			f.left, f.within = binary.BigEndian.Uint32(head[4:]), true
			_, _ = f.r.Discard(8) // it was peeked
		case f.within && len(head) < 8: // cut off, or the end
			return 0, endOf(err)
		default:
			f.raw = true
		}
	}
	if f.raw {
		return f.r.Read(p)
	}
	n, err := f.r.Read(p[:min(uint64(len(p)), uint64(f.left))])
	f.left -= uint32(n)
	return n, err
}

func isFrame(head []byte) bool {
	return len(head) == 8 && head[0] <= 2 && head[1] == 0 && head[2] == 0 && head[3] == 0
}

func endOf(err error) error {
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// lastOf returns the last bytes of r, at most limit.
func lastOf(r io.Reader, limit int) ([]byte, error) {
	var kept []byte
	part := make([]byte, 32<<10)
	for {
		n, err := r.Read(part)
		kept = append(kept, part[:n]...)
		if len(kept) > 2*limit+len(part) {
			kept = append(kept[:0], kept[len(kept)-limit:]...)
		}
		if err != nil {
			kept = kept[max(0, len(kept)-limit):]
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return kept, err
		}
	}
}
