// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// bigBuffer is what a reader's socket may hold, in bytes, so that the reader is not what a test waits for.
const bigBuffer = 64 << 20

// A Reader collects records as they come.
type Reader struct {
	conn *Conn
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	records []Record
	err     error
	news    chan struct{} // closed and replaced when there is something new
}

// Listen collects what goes to the multicast group.
func Listen() (*Reader, error) {
	conn, err := Dial(true, bigBuffer)
	if err != nil {
		return nil, err
	}
	return newReader(conn), nil
}

// Auditd registers this process as auditd, and collects what the kernel has for it. The kernel does not audit the
// syscalls of auditd, nor does it make it wait for the backlog.
func (c *Control) Auditd() (*Reader, error) { return c.AuditdBuffer(bigBuffer) }

// AuditdBuffer is Auditd with a receive buffer of so many bytes; one that is full blocks kauditd for a tenth of a second.
func (c *Control) AuditdBuffer(bytes int) (*Reader, error) {
	conn, err := Dial(false, bytes)
	if err != nil {
		return nil, err
	}
	if err := c.register(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return newReader(conn), nil
}

func newReader(conn *Conn) *Reader {
	r := &Reader{conn: conn, stop: make(chan struct{}), done: make(chan struct{}), news: make(chan struct{})}
	go r.run()
	return r
}

func (r *Reader) run() {
	defer close(r.done)
	for {
		b, err := r.conn.read(20 * time.Millisecond)
		switch {
		case errors.Is(err, unix.EAGAIN):
			select {
			case <-r.stop:
				return
			default:
			}
			continue
		case err != nil:
			r.add(Record{}, err)
			return
		}
		rec, err := parse(b)
		if err == nil && rec.Stamp == "" {
			continue // an answer to a command, or AUDIT_REPLACE
		}
		rec.At = time.Now()
		r.add(rec, err)
	}
}

func (r *Reader) add(rec Record, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.err = errors.Join(r.err, err)
	} else {
		r.records = append(r.records, rec)
	}
	close(r.news)
	r.news = make(chan struct{})
}

// Close stops reading and closes the socket. Whoever was auditd should Unregister first, or the kernel takes the next
// record for a sign that auditd died.
func (r *Reader) Close() error {
	close(r.stop)
	<-r.done
	return r.conn.Close()
}

// Records returns what has come so far, and what went wrong with reading.
func (r *Reader) Records() ([]Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[:len(r.records):len(r.records)], r.err
}

// Forget drops the records so far, so that a test that goes on for long does not keep them all. Places are counted from 0 again.
func (r *Reader) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = nil
}

// Len is the number of records so far, a place to search from.
func (r *Reader) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.records)
}

// Find waits until a record from place from on satisfies ok.
func (r *Reader) Find(from int, wait time.Duration, ok func(Record) bool) (Record, bool) {
	timeout := time.After(wait)
	for {
		r.mu.Lock()
		records, news := r.records, r.news
		r.mu.Unlock()
		for ; from < len(records); from++ {
			if ok(records[from]) {
				return records[from], true
			}
		}
		select {
		case <-news:
		case <-r.done:
			return Record{}, false
		case <-timeout:
			return Record{}, false
		}
	}
}
