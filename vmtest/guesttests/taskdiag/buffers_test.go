// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// still is what does not change about tasks that are stopped, as their pages may be shared with others that are not.
func still(a *answer) []task {
	var all []task
	for _, p := range a.tasks {
		t := *p
		t.Messages = 0
		t.VMAs = slices.Clone(t.VMAs)
		for i := range t.VMAs {
			if t.VMAs[i].Stat != nil {
				t.VMAs[i].Stat = &vmaStat{}
			}
		}
		all = append(all, t)
	}
	return all
}

// What comes does not depend on the size of the buffer.
func TestBuffers(t *testing.T) {
	pid := target(t, "mappings")
	d := open(t)
	for _, show := range []uint64{0, showBase | showCred | showStat, showAll} {
		r := newRequest(dumpOne, show, pid)
		whole, err := d.ask(r, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		want := still(whole)
		for _, size := range []int{1, 8, 31, 32, 64, 127, 128, 333, 500, 1000, 4096, 5000, 8192, 65535, 65536, 65537, 100000} {
			a, err := d.ask(r, size)
			if err != nil {
				t.Fatalf("groups %#x, buffer of %d bytes: %v", show, size, err)
			}
			if got := still(a); !cmp.Equal(got, want) {
				t.Errorf("groups %#x, buffer of %d bytes: 1 MiB (-), this (+):\n%s", show, size, cmp.Diff(want, got))
			}
			if show == showAll && size < 1000 && a.tasks[0].Messages < 3 {
				t.Errorf("groups %#x, buffer of %d bytes: %d messages: nothing was divided", show, size, a.tasks[0].Messages)
			}
		}
	}
}

// A buffer that is too small is an error as often as it is tried, and never the end of the file; nothing is lost.
func TestTooSmall(t *testing.T) {
	d := open(t)
	r := newRequest(dumpAll, showBase, 0)
	whole := d.dump(t, dumpAll, showBase, 0)
	if err := d.write(r.bytes()); err != nil {
		t.Fatal(err)
	}
	a := &answer{seq: r.Seq}
	for !a.done {
		n := 1 // of the message that comes: found by trying
		for ; ; n++ {
			b, err := d.read(n)
			if err == unix.EMSGSIZE && n < 200 {
				continue
			}
			if err != nil || len(b) != n {
				t.Fatalf("read %d bytes: %d, %v", n, len(b), err)
			}
			if err := a.add(b); err != nil {
				t.Fatal(err)
			}
			break
		}
		if n != headSize+8 && n != msgSize+4+baseSize {
			t.Fatalf("a message of %d bytes", n)
		}
		if b, err := d.read(0); len(b) != 0 || err != nil {
			t.Fatalf("read 0 bytes: %d, %v", len(b), err)
		}
	}
	if len(a.tasks) < len(whole.tasks)-5 {
		t.Errorf("%d tasks in pieces, %d in one", len(a.tasks), len(whole.tasks))
	}
	for range 3 {
		if b, err := d.read(4096); len(b) != 0 || err != nil {
			t.Errorf("read behind the end: %d bytes, %v", len(b), err)
		}
	}
}

const manyMappings = 5000

func init() {
	roles["mappings"] = func() error {
		page := os.Getpagesize()
		hole, err := unix.Mmap(-1, 0, 2*manyMappings*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return err
		}
		for i := 0; i < len(hole); i += 2 * page {
			if err := unix.Mprotect(hole[i:i+page], unix.PROT_READ|unix.PROT_WRITE); err != nil {
				return err
			}
		}
		return roles["wait"]()
	}
}

// A task with more mappings than a message has room for.
func TestManyMappings(t *testing.T) {
	pid := startRole(t, "mappings")
	stop(t, pid)
	want, err := procVMAs(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 2*manyMappings {
		t.Fatalf("%d mappings, want %d", len(want), 2*manyMappings)
	}
	d := open(t)
	for size, atLeast := range map[int]int{4096: 150, 65536: 10, 1 << 20: 10} {
		a, err := d.ask(newRequest(dumpOne, showBase|showVMA, pid), size)
		if err != nil {
			t.Fatal(err)
		}
		task := a.tasks[0]
		if len(task.VMAs) != len(want) {
			t.Errorf("buffer of %d bytes: %d mappings, want %d", size, len(task.VMAs), len(want))
		}
		for i, v := range task.VMAs[:min(len(task.VMAs), len(want))] {
			if got := v.proc(); got.Line != want[i].Line || got.Name != want[i].Name {
				t.Fatalf("buffer of %d bytes: mapping %d: %+v, want %+v", size, i, got, want[i])
			}
		}
		if task.Messages < atLeast {
			t.Errorf("buffer of %d bytes: %d messages, want at least %d", size, task.Messages, atLeast)
		}
	}
}
