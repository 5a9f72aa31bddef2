// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guesttests/internal/bench"
	"github.com/seriesrig/series/vmtest/guesttests/internal/mark"
	"github.com/seriesrig/series/vmtest/taskdiag"
	"github.com/seriesrig/series/vmtest/taskdiag/procfs"
	"github.com/seriesrig/series/vmtest/taskdiag/ps"
)

// enough is how many tasks each side of a pair reads about at least in a turn, in as many passes as it takes: in a shorter one shows where
// a tick of the timer has come.
const enough = 10_000

// A side reads about all processes from one interface, and says about how many.
type side func() (tasks int, err error)

// A pair is what both interfaces say.
type pair struct {
	name   string
	file   string // of /proc/PID; "" is readdir of /proc alone
	groups taskdiag.Groups
}

var pairs = []pair{
	{"none", "", 0},
	{"stat", procfs.Stat, taskdiag.ShowBase},
	{"stat-all", procfs.Stat, taskdiag.ShowBase | taskdiag.ShowStat},
	{"status", procfs.Status, taskdiag.ShowBase | taskdiag.ShowCred},
	{"maps", procfs.Maps, taskdiag.ShowVMA},
	{"smaps", procfs.Smaps, taskdiag.ShowVMA | taskdiag.ShowVMAStat},
}

// BenchmarkTasks reads about every process of the guest, from text files and from /proc/task_diag; see doc.go.
func BenchmarkTasks(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("tasks=%d", n), func(b *testing.B) {
			crowd(b, n, 1)
			d, err := procfs.Open("/proc")
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			c, err := taskdiag.Open(taskdiag.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			for _, p := range pairs {
				b.Run("of="+p.name, func(b *testing.B) { benchmark(b, n, d, c, procSide(d, p), diagSide(c, p)) })
			}
			b.Run("of=ps", func(b *testing.B) {
				benchmark(b, n, d, c, psSide(b, ps.Proc{Dir: d}), psSide(b, ps.TaskDiag{Client: c}))
			})
		})
	}
}

// procSide reads a file of each process and does not look at what it says: whoever wants to know would take longer.
func procSide(d *procfs.Dir, p pair) side {
	return func() (tasks int, err error) {
		e := d.PIDs(func(pid int) bool {
			if p.file != "" {
				if _, err = d.Read(pid, p.file); err != nil {
					return false
				}
			}
			tasks++
			return true
		})
		if err == nil {
			err = e
		}
		return tasks, err
	}
}

// sink is what the compiler cannot know not to be needed.
var sink uint64

// diagSide looks at every task, and at every mapping.
func diagSide(c *taskdiag.Client, p pair) side {
	q := taskdiag.Request{Groups: p.groups}
	return func() (tasks int, err error) {
		for t, err := range c.Tasks(context.Background(), q) {
			if err != nil {
				return tasks, err
			}
			tasks++
			if t.Base != nil {
				sink += uint64(t.Base.PPID)
			}
			for v := range t.VMAs {
				sink += v.End
			}
		}
		return tasks, nil
	}
}

// lines counts the lines that are written.
type lines int

func (l *lines) Write(b []byte) (int, error) {
	for _, c := range b {
		if c == '\n' {
			*l++
		}
	}
	return len(b), nil
}

// psSide makes a list as ps does: reading, making sense of what was read, and text again.
func psSide(b *testing.B, src ps.Source) side {
	columns, err := ps.ParseColumns("pid,ppid")
	if err != nil {
		b.Fatal(err)
	}
	list := ps.Listing{Columns: columns}
	var n lines
	if err := list.Write(context.Background(), &n, src); err != nil {
		b.Fatal(err)
	}
	return func() (int, error) { return int(n) - 1, list.Write(context.Background(), io.Discard, src) }
}

// A turn is what both sides have read, one after the other; of several turns, all of that together.
type turn struct {
	took         [2]time.Duration
	calls, tasks [2]int
	first, last  [2]int // marks around what took that
}

// per is what a task takes on one side.
func (t *turn) per(side int) float64 {
	return float64(t.took[side].Nanoseconds()) / float64(t.tasks[side])
}

// A reading is what benchmark has measured.
type reading struct {
	turn
	warmUp int // turns that were left out
}

// measured are the readings that testing has asked for with an N of 1, and will ask for again with another one: there is no
// need to have 50,000 tasks looked at twice.
var measured = map[string]*reading{}

// benchmark reads from both sides in turns, so that what else changes is in both. It leaves out the turns before two in a row of which
// each side takes the same, within 1 %, or of which both together take what the two before them did: the first ones fill what /proc has
// a cache for.
func benchmark(b *testing.B, n int, d *procfs.Dir, c *taskdiag.Client, proc, diag side) {
	r := measured[b.Name()]
	if r == nil || b.N == 1 {
		r = read(b, n, d, c, proc, diag)
		measured[b.Name()] = r
	}
	b.ReportMetric(0, "ns/op") // what testing would say, with both sides in it
	for i, name := range []string{"proc-", "diag-"} {
		unit := name + bench.Clock() + "/task"
		b.ReportMetric(r.per(i), unit)
		b.ReportMetric(float64(r.calls[i])/float64(r.tasks[i]), name+"calls/task")
		if bench.Icount() {
			mark.Region{First: r.first[i], Last: r.last[i], Step: marksInTurn, Ops: r.tasks[i], Unit: unit}.Report(b)
		}
	}
	b.ReportMetric(r.per(0)/r.per(1), "ratio")
	b.ReportMetric(float64(r.warmUp), "warm-up-turns")
}

const (
	marksInTurn = 4
	mostWarm    = 12 // turns until two in a row are the same
)

func read(b *testing.B, n int, d *procfs.Dir, c *taskdiag.Client, proc, diag side) *reading {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	one := func() (t turn, err error) {
		for i, read := range []side{proc, diag} {
			before := d.SystemCalls() + c.SystemCalls()
			t.first[i] = mark.Here()
			start := time.Now()
			for t.tasks[i] < enough {
				got, err := read()
				if err == nil && got < n {
					err = fmt.Errorf("%d tasks, want %d at least", got, n)
				}
				if err != nil {
					return t, err
				}
				t.tasks[i] += got
			}
			t.took[i] = time.Since(start)
			t.last[i] = mark.Here()
			t.calls[i] = d.SystemCalls() + c.SystemCalls() - before
		}
		return t, nil
	}
	all, err := bench.RepeatPairs(mostWarm, one, func(t turn) []float64 { return []float64{t.per(0), t.per(1)} })
	if err != nil {
		b.Fatal(err)
	}
	warmUp := len(all) - 2
	return &reading{sum(all[warmUp:]), warmUp}
}

// sum is what turns that followed each other are together.
func sum(turns []turn) turn {
	all := turn{first: turns[0].first, last: turns[len(turns)-1].last}
	for _, t := range turns {
		for i := range t.took {
			all.took[i], all.calls[i], all.tasks[i] = all.took[i]+t.took[i], all.calls[i]+t.calls[i], all.tasks[i]+t.tasks[i]
		}
	}
	return all
}

func TestSum(t *testing.T) {
	a := turn{took: [2]time.Duration{100, 10}, calls: [2]int{30, 3}, tasks: [2]int{10, 10}, first: [2]int{5, 7}, last: [2]int{6, 8}}
	b := turn{took: [2]time.Duration{200, 20}, calls: [2]int{31, 4}, tasks: [2]int{11, 12}, first: [2]int{9, 11}, last: [2]int{10, 12}}
	want := turn{took: [2]time.Duration{300, 30}, calls: [2]int{61, 7}, tasks: [2]int{21, 22}, first: [2]int{5, 7}, last: [2]int{10, 12}}
	if got := sum([]turn{a, b}); got != want {
		t.Errorf("sum = %+v, want %+v", got, want)
	}
	if b.first[0]-a.first[0] != marksInTurn {
		t.Errorf("a turn has %d marks, want %d", b.first[0]-a.first[0], marksInTurn)
	}
}
