// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/tiny"
)

// unixWrite and unixRead take a length of their own, which may be more than there is.
func unixWrite(fd int, b []byte, n int) (int, error) { return rw(unix.SYS_WRITE, fd, b, n) }

func unixRead(fd int, b []byte, n int) (int, error) { return rw(unix.SYS_READ, fd, b, n) }

func rw(nr uintptr, fd int, b []byte, n int) (int, error) {
	done, _, errno := unix.Syscall(nr, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(n))
	if errno != 0 {
		return -1, errno
	}
	return int(done), nil
}

// hole returns memory of so many bytes, with as much behind it that must not be touched.
func hole(t *testing.T, size int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, 2*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	if err := unix.Mprotect(b[size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return b
}

// A pointer that is bad is EFAULT, and the next read goes on where the one before has: nothing is lost and nothing twice.
func TestBadPointer(t *testing.T) {
	const room = 128 << 10
	mem := hole(t, room)
	crowd := crowd(t, 200, 1)
	d := open(t)
	r := newRequest(dumpAll, showBase|showCred|showStat, 0)
	if _, err := unixWrite(d.fd, mem[room:], requestSize); err != unix.EFAULT {
		t.Errorf("write from bad memory: %v, want EFAULT", err)
	}
	copy(mem[room-20:], r.bytes()[:20])
	if _, err := unixWrite(d.fd, mem[room-20:], requestSize); err != unix.EFAULT {
		t.Errorf("write from memory that ends: %v, want EFAULT", err)
	}
	if err := d.write(r.bytes()); err != nil {
		t.Fatal(err)
	}
	a := &answer{seq: r.Seq}
	faults := 0
	for i := 0; !a.done; i++ {
		// Room for nothing, for a part of what would come, for one buffer of the kernel and a part of the next.
		at := room - []int{0, 1, 5000, 70000, 30000}[i%5]
		n, err := unixRead(d.fd, mem[at:], room)
		switch {
		case err == unix.EFAULT:
			faults++
			if n, err = unixRead(d.fd, mem, 4096); err != nil {
				t.Fatalf("read after EFAULT: %v", err)
			}
			at = 0
		case err != nil || n == 0 || n > room-at:
			t.Fatalf("read into memory that ends after %d bytes: %d, %v", room-at, n, err)
		}
		if err := a.add(mem[at : at+n]); err != nil {
			t.Fatal(err)
		}
	}
	if faults < 4 {
		t.Errorf("%d times EFAULT: too few to prove anything", faults)
	}
	want := procChildren(t, crowd)
	slices.Sort(want)
	got := slices.DeleteFunc(a.pids(), func(pid int) bool { return !slices.Contains(want, pid) })
	if !slices.Equal(got, want) {
		t.Errorf("%d processes of a crowd of %d", len(got), len(want))
	}
}

func poll(t *testing.T, fd int, wait time.Duration) int16 {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLOUT | unix.POLLPRI}}
	for {
		_, err := unix.Poll(p, int(wait.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return p[0].Revents
	}
}

// The file can be written always, and read from a request to the end of its answer. Who waits is woken.
func TestPoll(t *testing.T) {
	d := open(t)
	check := func(when string, want int16) {
		t.Helper()
		if got := poll(t, d.fd, 0); got != want {
			t.Errorf("poll %s: %#x, want %#x", when, got, want)
		}
	}
	r := newRequest(dumpAll, 0, 0)
	check("without a request", unix.POLLOUT)
	if err := d.write(make([]byte, 40)); err != unix.EINVAL {
		t.Fatal(err)
	}
	check("after a bad request", unix.POLLOUT)
	if err := d.write(r.bytes()); err != nil {
		t.Fatal(err)
	}
	check("after a request", unix.POLLIN|unix.POLLOUT)
	if _, err := d.read(1); err != unix.EMSGSIZE {
		t.Fatal(err)
	}
	check("after EMSGSIZE", unix.POLLIN|unix.POLLOUT)
	a := &answer{seq: r.Seq}
	b, err := d.read(64)
	if err == nil {
		err = a.add(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	check("after a part", unix.POLLIN|unix.POLLOUT)
	if err := d.rest(a, 1000); err != nil {
		t.Fatal(err)
	}
	check("at the end", unix.POLLOUT)

	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ep)
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, d.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(d.fd)}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		woken := make(chan error)
		go func() {
			var events [1]unix.EpollEvent
			for {
				n, err := unix.EpollWait(ep, events[:], int(patience.Milliseconds()))
				if err == unix.EINTR {
					continue
				}
				if err == nil && (n != 1 || events[0].Events != unix.EPOLLIN) {
					err = unix.ETIME
				}
				woken <- err
				return
			}
		}()
		time.Sleep(2 * time.Millisecond)
		if err := d.write(r.bytes()); err != nil {
			t.Fatal(err)
		}
		if err := <-woken; err != nil {
			t.Errorf("who waits for an answer: %v", err)
		}
	}
}

// Several readers of one answer share it: each message goes to one of them.
func TestReadersShare(t *testing.T) {
	main := crowd(t, 100, 1)
	want := sorted(procChildren(t, main))
	d := open(t)
	for _, size := range []int{msgSize + 4 + baseSize, 1000, 65536} {
		r := newRequest(dumpChildren, showBase, main)
		if err := d.write(r.bytes()); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var got []int
		done := 0
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					b, err := d.read(size)
					if err == nil && len(b) == 0 {
						return
					}
					a := &answer{seq: r.Seq}
					if err == nil {
						err = a.add(b)
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					got = append(got, a.pids()...)
					if a.done {
						done++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if slices.Sort(got); !slices.Equal(got, want) || done != 1 {
			t.Errorf("buffers of %d bytes: %d tasks and %d times NLMSG_DONE, want %d and 1", size, len(got), done, len(want))
		}
	}
}

// Writers, readers and pollers of one file at once, and others that open and close it: each call has one of its documented
// results.
func TestConcurrent(t *testing.T) {
	d := open(t)
	var stop atomic.Bool
	var wg sync.WaitGroup
	each := func(n int, f func(i int) error) {
		for i := range n {
			wg.Go(func() {
				for j := i; !stop.Load(); j++ {
					if err := f(j); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	var writes, reads atomic.Int64
	each(2, func(i int) error {
		r := newRequest([]uint64{dumpAll, dumpAllThread, dumpThread, dumpChildren, dumpOne}[i%5], []uint64{0, showBase, showAll, showVMA}[i%4], 0)
		if i%5 > 1 {
			r.PID = uint32(os.Getpid())
		}
		writes.Add(1)
		if err := d.write(r.bytes()); err != unix.EINTR {
			return err
		}
		return nil
	})
	each(3, func(i int) error {
		b, err := d.read([]int{100, 5000, 200000}[i%3])
		reads.Add(1)
		// A message may be the second of its task here.
		for off := 0; err == nil && off < len(b); {
			n := int(native.Uint32(b[off:]))
			if n < headSize+8 || n%8 != 0 || n > len(b)-off || native.Uint32(b[off+8:]) != newRequest(0, 0, 0).Seq {
				t.Errorf("message of %d bytes at %d of %d", n, off, len(b))
				return unix.EBADMSG
			}
			off += n
		}
		if err == unix.EMSGSIZE || err == unix.EINTR {
			err = nil
		}
		return err
	})
	each(1, func(int) error {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN | unix.POLLOUT}}, 1)
		if err == unix.EINTR {
			err = nil
		}
		return err
	})
	each(1, func(i int) error {
		e, err := openDiag(diagPath, unix.O_RDWR)
		if err != nil {
			return err
		}
		defer e.close() // with an answer that nobody has read, or half of it
		if err := e.write(newRequest(dumpOne, showAll, os.Getpid()).bytes()); err != nil {
			return err
		}
		if i%2 == 0 {
			_, err = e.read(1000)
		}
		return err
	})
	const few = 50
	for begin := time.Now(); !t.Failed() && (time.Since(begin) < 300*time.Millisecond || writes.Load() < few || reads.Load() < few); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Errorf("%d writes, %d reads within %v: want %d each", writes.Load(), reads.Load(), patience, few)
		}
	}
	stop.Store(true)
	wg.Wait()
	// And it still works.
	if a := d.dump(t, dumpOne, showBase, os.Getpid()); len(a.tasks) != 1 {
		t.Errorf("tasks %v, want this one", a.pids())
	}
}

// While tasks come and go, those that stay are there once, and no task twice.
func TestChurn(t *testing.T) {
	processes := procChildren(t, crowd(t, 50, 4))
	var threads []int
	for _, pid := range processes {
		tids, err := procPIDs(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		threads = append(threads, tids...)
	}
	forks, err := tiny.Loop{Batches: 1 << 16, Ops: 1 << 16, Flags: uint64(unix.SIGCHLD)}.ELF()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		start(t, forks)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	wg.Go(func() { // and threads of this process
		for done := make(chan bool); !stop.Load(); <-done {
			go func() {
				runtime.LockOSThread()
				done <- true
			}()
		}
	})
	d := open(t)
	const passing = 40 // tasks that come and go, of those that are seen
	const rounds = 12  // where there is time for as many
	sizes := []int{300, 4096, bufSize}
	seen := map[int]bool{}
	for begin, i := time.Now(), 0; ; i++ {
		late, enough := time.Since(begin) > patience, len(seen) >= len(threads)+passing
		if enough && (i >= rounds || late && i >= len(sizes)) {
			break
		}
		if late && !enough {
			t.Fatalf("%d tasks were seen, %d of them stay: next to nothing comes and goes", len(seen), len(threads))
		}
		size := sizes[i%len(sizes)]
		for _, c := range []struct {
			strategy, show uint64
			must           []int
		}{{dumpAll, showBase, processes}, {dumpAllThread, showBase, threads}} {
			a, err := d.ask(newRequest(c.strategy, c.show, 0), size)
			if err != nil {
				t.Fatalf("strategy %d: %v", c.strategy, err)
			}
			count := map[int]int{}
			for _, task := range a.tasks {
				if count[int(task.PID)]++; count[int(task.PID)] > 1 {
					t.Errorf("strategy %d: task %d comes twice", c.strategy, task.PID)
				}
				seen[int(task.PID)] = true
			}
			for _, pid := range c.must {
				if count[pid] != 1 {
					t.Errorf("strategy %d: task %d comes %d times", c.strategy, pid, count[pid])
				}
			}
		}
	}
}
