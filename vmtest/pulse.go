// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// A pulse is the event port, watched: what came of it, and whether the host waits for the guest or the guest for the
// host. While output of the guest is held up by its reader, silence says nothing about the guest.
type pulse struct {
	io.ReadWriteCloser
	bytes   atomic.Int64
	waiting atomic.Bool
}

func (p *pulse) Read(b []byte) (int, error) {
	p.waiting.Store(true)
	n, err := p.ReadWriteCloser.Read(b)
	p.bytes.Add(int64(n))
	p.waiting.Store(false)
	// A socket whose other end died with unread data in it says so; for a stream it is an end as any other.
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// A logFile takes what fits; the first error that is not about its own limit is kept.
type logFile struct {
	path  string
	limit int64

	mu   sync.Mutex
	f    *os.File
	size int64
	tail []byte
	err  error
}

const tailSize = 4 << 10

func openLog(path string, limit int64) (*logFile, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &logFile{path: path, limit: limit, f: f}, nil
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if over := len(l.tail) - tailSize; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	if l.f == nil || l.err != nil {
		return len(p), l.err
	}
	if l.size < l.limit {
		n, err := l.f.Write(p[:min(int64(len(p)), l.limit-l.size)])
		l.size += int64(n)
		if err != nil {
			l.err = err
		}
	}
	return len(p), l.err
}

// Err is why something could not be written, such as a full disk.
func (l *logFile) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Tail is the end of what was written.
func (l *logFile) Tail() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]byte(nil), l.tail...)
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	if err != nil && l.err == nil {
		l.err = err
	}
	return err
}
