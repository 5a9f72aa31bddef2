// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	requestMax  = 4096
	pidMaxLimit = 1 << 22
)

// verdict is what the documentation says about what is written: nil or an error. readable is how many of the bytes can be
// read by the kernel.
func verdict(b []byte, readable int) error {
	switch {
	case len(b) > requestMax:
		return unix.EMSGSIZE
	case len(b) < requestSize:
		return unix.EINVAL
	case readable < requestSize:
		return unix.EFAULT
	}
	if native.Uint32(b) != uint32(len(b)) {
		return unix.EINVAL
	}
	if tail := b[requestSize:readable]; !zero(tail) {
		return unix.E2BIG
	}
	if readable < len(b) {
		return unix.EFAULT
	}
	kind, flags, from := native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[12:])
	show, strategy, pid, reserved := native.Uint64(b[16:]), native.Uint64(b[24:]), native.Uint32(b[32:]), native.Uint32(b[36:])
	switch {
	case kind != msgRequest, flags&^(nlmRequest|nlmDump) != 0, from != 0, reserved != 0, show&^showAll != 0,
		show&showVMAStat != 0 && show&showVMA == 0, strategy > dumpThread:
		return unix.EINVAL
	case strategy == dumpAll || strategy == dumpAllThread:
		if pid != 0 {
			return unix.EINVAL
		}
	case pid == 0 || pid >= pidMaxLimit:
		return unix.EINVAL
	}
	return nil
}

// Each way of being wrong has its error, and leaves the request before as it was.
func TestRequests(t *testing.T) {
	d := open(t)
	good := newRequest(dumpOne, showBase, 1)
	change := func(f func(r *request)) []byte {
		r := good
		f(&r)
		return r.bytes()
	}
	longer := func(n int, at ...int) []byte {
		b := change(func(r *request) { r.Len = uint32(n) })
		b = append(b, make([]byte, n-requestSize)...)
		for _, i := range at {
			b[i] = 1
		}
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"good":                     {good.bytes(), nil},
		"nothing":                  {nil, unix.EINVAL},
		"a byte":                   {good.bytes()[:1], unix.EINVAL},
		"a header":                 {good.bytes()[:headSize], unix.EINVAL},
		"a byte short":             {good.bytes()[:requestSize-1], unix.EINVAL},
		"a byte more":              {append(good.bytes(), 0), unix.EINVAL},
		"nlmsg_len 0":              {change(func(r *request) { r.Len = 0 }), unix.EINVAL},
		"nlmsg_len less":           {change(func(r *request) { r.Len-- }), unix.EINVAL},
		"nlmsg_len more":           {change(func(r *request) { r.Len++ }), unix.EINVAL},
		"nlmsg_len most":           {change(func(r *request) { r.Len = 1<<32 - 1 }), unix.EINVAL},
		"nlmsg_type":               {change(func(r *request) { r.Type++ }), unix.EINVAL},
		"nlmsg_type of a task":     {change(func(r *request) { r.Type = msgTask }), unix.EINVAL},
		"nlmsg_flags 0":            {change(func(r *request) { r.Flags = 0 }), nil},
		"nlmsg_flags NLM_F_ROOT":   {change(func(r *request) { r.Flags = 0x100 }), nil},
		"nlmsg_flags NLM_F_MULTI":  {change(func(r *request) { r.Flags |= 2 }), unix.EINVAL},
		"nlmsg_flags NLM_F_ACK":    {change(func(r *request) { r.Flags |= 4 }), unix.EINVAL},
		"nlmsg_pid":                {change(func(r *request) { r.From = 1 }), unix.EINVAL},
		"nlmsg_seq":                {change(func(r *request) { r.Seq = 1<<32 - 1 }), nil},
		"no groups":                {change(func(r *request) { r.Show = 0 }), nil},
		"all groups":               {change(func(r *request) { r.Show = showAll }), nil},
		"group 0":                  {change(func(r *request) { r.Show |= 1 }), unix.EINVAL},
		"one group more":           {change(func(r *request) { r.Show |= (showAll + 2) &^ showAll }), unix.EINVAL},
		"group 32":                 {change(func(r *request) { r.Show |= 1 << 32 }), unix.EINVAL},
		"group 63":                 {change(func(r *request) { r.Show |= 1 << 63 }), unix.EINVAL},
		"VMA_STAT without VMA":     {change(func(r *request) { r.Show = showVMAStat }), unix.EINVAL},
		"one strategy more":        {change(func(r *request) { r.Strategy = dumpThread + 1 }), unix.EINVAL},
		"strategy of 64 bits":      {change(func(r *request) { r.Strategy |= 1 << 32 }), unix.EINVAL},
		"strategy -1":              {change(func(r *request) { r.Strategy = 1<<64 - 1 }), unix.EINVAL},
		"ALL with a pid":           {change(func(r *request) { r.Strategy = dumpAll }), unix.EINVAL},
		"ALL_THREAD with a pid":    {change(func(r *request) { r.Strategy = dumpAllThread }), unix.EINVAL},
		"ONE without a pid":        {change(func(r *request) { r.PID = 0 }), unix.EINVAL},
		"THREAD without a pid":     {change(func(r *request) { r.Strategy, r.PID = dumpThread, 0 }), unix.EINVAL},
		"CHILDREN without a pid":   {change(func(r *request) { r.Strategy, r.PID = dumpChildren, 0 }), unix.EINVAL},
		"the last pid":             {change(func(r *request) { r.PID = pidMaxLimit - 1 }), nil},
		"one pid more":             {change(func(r *request) { r.PID = pidMaxLimit }), unix.EINVAL},
		"pid of 32 bits":           {change(func(r *request) { r.PID = 1 << 31 }), unix.EINVAL},
		"pid -1":                   {change(func(r *request) { r.PID = 1<<32 - 1 }), unix.EINVAL},
		"reserved":                 {change(func(r *request) { r.Reserved = 1 }), unix.EINVAL},
		"longer, zeros":            {longer(48), nil},
		"longer by one byte":       {longer(41), nil},
		"longest":                  {longer(requestMax), nil},
		"longer, not zero":         {longer(48, 47), unix.E2BIG},
		"longest, not zero":        {longer(requestMax, requestMax-1), unix.E2BIG},
		"longer, first not zero":   {longer(100, requestSize), unix.E2BIG},
		"too long":                 {longer(requestMax + 1), unix.EMSGSIZE},
		"too long, and wrong":      {longer(1<<20, 5, 4000), unix.EMSGSIZE},
		"longer, wrong, not zero":  {longer(48, 4, 47), unix.E2BIG},
		"longer, wrong nlmsg_len":  {longer(48, 2), unix.EINVAL},
		"too short, and all zeros": {make([]byte, 39), unix.EINVAL},
		"all zeros":                {make([]byte, 40), unix.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			if v := verdict(c.b, len(c.b)); v != c.want {
				t.Fatalf("the documentation says %v, this test %v", v, c.want)
			}
			before := newRequest(dumpOne, 0, os.Getpid())
			if err := d.write(before.bytes()); err != nil {
				t.Fatal(err)
			}
			if err := d.write(c.b); err != c.want {
				t.Errorf("write: %v, want %v", err, c.want)
			}
			if c.want == nil {
				return
			}
			a := &answer{seq: before.Seq}
			if err := d.rest(a, bufSize); err != nil || len(a.tasks) != 1 || a.tasks[0].PID != uint32(os.Getpid()) {
				t.Errorf("after it, the request before: %v, tasks %v", err, a.pids())
			}
		})
	}
}

var (
	soakCount = flag.Int("soak.count", 4000, "random requests that TestRandomRequests makes")
	soakSeed  = flag.Uint64("soak.seed", 1, "seed of the random requests")
	soakRead  = flag.Int("soak.read", 1, "one in so many answers is read")
)

// Requests at random, nearly right ones most of all, read with buffers at random: each has the error that the
// documentation says, and each answer its form. Same seed, same requests. It runs on all processors, each with a file and
// random numbers of its own.
func TestRandomRequests(t *testing.T) {
	deadline, limited := t.Deadline()
	var made, accepted, reads, bytes atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() {
			s, err := newSoak(*soakSeed, worker)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.d.close()
			for i := range *soakCount / 2 {
				if err := s.one(); err != nil {
					t.Errorf("seed %d, worker %d, request %d: %v", *soakSeed, worker, i, err)
					break
				}
				made.Add(1)
				if limited && time.Until(deadline) < 10*time.Second {
					t.Errorf("seed %d, worker %d: no time for more than %d requests", *soakSeed, worker, i+1)
					break
				}
			}
			accepted.Add(s.accepted)
			reads.Add(s.reads)
			bytes.Add(s.bytes)
		})
	}
	wg.Wait()
	t.Logf("soak: seed %d: %d requests, %d accepted, %d reads, %d bytes, %.1f s", *soakSeed, made.Load(), accepted.Load(), reads.Load(), bytes.Load(), time.Since(start).Seconds())
}

// A soak is a source of random requests.
type soak struct {
	d                      *diag
	rand                   *rand.Rand
	mem                    []byte // as much as size can be touched, and what is behind it cannot
	size                   int
	pids                   []uint32
	accepted, reads, bytes int64
}

func newSoak(seed uint64, worker int) (*soak, error) {
	page := os.Getpagesize()
	size := (64<<10 + page - 1) &^ (page - 1)
	mem, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	if err := unix.Mprotect(mem[size:], unix.PROT_NONE); err != nil {
		return nil, err
	}
	d, err := openDiag(diagPath, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	self := uint32(os.Getpid())
	return &soak{d: d, rand: rand.New(rand.NewPCG(seed, uint64(worker))), mem: mem, size: size, pids: []uint32{1, 2, 3, self, self, uint32(os.Getppid())}}, nil
}

// unlikely is true once in n times.
func (s *soak) unlikely(n int) bool { return s.rand.IntN(n) == 0 }

// request is one that is right, or wrong in a few places, or nonsense.
func (s *soak) request() []byte {
	r := request{Len: requestSize, Type: msgRequest, Flags: nlmRequest | nlmDump, Seq: s.rand.Uint32()}
	r.Show = s.rand.Uint64N(showAll+2) &^ 1
	r.Strategy = s.rand.Uint64N(dumpThread + 1)
	if r.Strategy != dumpAll && r.Strategy != dumpAllThread {
		if r.PID = s.pids[s.rand.IntN(len(s.pids))]; s.unlikely(4) {
			r.PID = 1 + s.rand.Uint32N(pidMaxLimit-1)
		}
	}
	b := r.bytes()
	if s.unlikely(8) { // longer
		b = append(b, make([]byte, s.rand.IntN(requestMax+10-requestSize))...)
		native.PutUint32(b, uint32(len(b)))
		if s.unlikely(2) {
			b[s.rand.IntN(len(b))] ^= 1 << s.rand.IntN(8)
		}
	}
	switch s.rand.IntN(8) {
	case 0, 1: // bits that are wrong
		for range 1 + s.rand.IntN(3) {
			b[s.rand.IntN(requestSize)] ^= 1 << s.rand.IntN(8)
		}
	case 2: // a field that is wrong
		field := []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36}[s.rand.IntN(10)]
		native.PutUint32(b[field:], []uint32{0, 1, 2, 39, 40, 41, 4096, 1<<22 - 1, 1 << 22, 1<<31 - 1, 1 << 31, 1<<32 - 1}[s.rand.IntN(12)])
	case 3: // too short, or another length than it says
		b = b[:s.rand.IntN(len(b)+1)]
	case 4: // nonsense
		for i := range b {
			b[i] = byte(s.rand.Uint32())
		}
		if s.unlikely(2) && len(b) >= 4 {
			native.PutUint32(b, uint32(len(b)))
		}
	}
	return b
}

// one makes a request, and reads some of the answer.
func (s *soak) one() error {
	b := s.request()
	// At the edge, so that a byte too far is a fault; now and then the edge is in the middle of it.
	n := len(b)
	if s.unlikely(16) {
		n = s.rand.IntN(len(b) + 1)
	}
	at := s.mem[s.size-n : s.size]
	copy(at, b)
	want := verdict(b, n)
	wrote, err := unixWrite(s.d.fd, at, len(b))
	if err != want || err == nil && wrote != len(b) {
		return fmt.Errorf("write %d bytes, %d of them readable, % x: %d, %v, want %v", len(b), n, b[:min(len(b), 48)], wrote, err, want)
	}
	if want != nil {
		return nil
	}
	s.accepted++
	if !s.unlikely(*soakRead) {
		return nil
	}
	a := &answer{seq: native.Uint32(b[8:])}
	// Whole answers now and then, as most of the time would go into them.
	for left := s.rand.IntN(4); !a.done && (left > 0 || s.unlikely(2)); left-- {
		if err := s.read(a); err != nil {
			return fmt.Errorf("answer to % x: %w", b, err)
		}
	}
	return nil
}

func (s *soak) read(a *answer) error {
	size := 1 << s.rand.IntN(17)
	size += s.rand.IntN(size)
	size = min(size, s.size)
	room := size
	if s.unlikely(16) {
		room = s.rand.IntN(size + 1)
	}
	at := s.mem[s.size-room : s.size]
	for i := range at[:min(64, room)] {
		at[i] = 0xa5
	}
	n, err := unixRead(s.d.fd, at, size)
	s.reads++
	switch {
	case err == nil && n > room:
		return fmt.Errorf("read %d bytes, with room for %d: %d", size, room, n)
	case err == nil && n > 0:
		s.bytes += int64(n)
		return a.add(at[:n])
	case err == unix.EINTR:
		return nil
	case err == unix.EMSGSIZE && size < 8192, err == unix.EFAULT && room < size:
		return nil
	case err == nil:
		return errors.New("the end of the file before NLMSG_DONE")
	}
	return fmt.Errorf("read %d bytes, with room for %d: %w", size, room, err)
}
