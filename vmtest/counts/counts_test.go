// SPDX-License-Identifier: Apache-2.0

package counts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/need"
)

var trial = &Map{starts: []uint64{0x1000, 0x2000, 0x3000}, names: []string{"a", "b", Other}}

const three = "mark 2 30\n0 10\n1 20\nmark 3 5\n2 5\nend 3\n"

func TestRead(t *testing.T) {
	c, err := Read(strings.NewReader(three), trial)
	if err != nil || c.Marks() != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	got, err := c.Between(1, 3)
	if d := cmp.Diff(Functions{Program: 10, "a": 20, "b": 5}, got); err != nil || d != "" || got.Sum() != 35 {
		t.Errorf("from 1 to 3: %v (-want +got):\n%s", err, d)
	}
	for _, marks := range [][2]int{{0, 1}, {1, 1}, {2, 1}, {1, 4}} {
		if got, err := c.Between(marks[0], marks[1]); err == nil {
			t.Errorf("from %d to %d: %v, want an error", marks[0], marks[1], got)
		}
	}
	calm, err := c.Calm(1, 3, 0, 1)
	if d := cmp.Diff(Functions{"b": 5}, calm); err != nil || d != "" {
		t.Errorf("the shortest one: %v (-want +got):\n%s", err, d)
	}
	for _, places := range [][2]int{{-1, 1}, {1, 1}, {0, 3}} {
		if got, err := c.Calm(1, 3, places[0], places[1]); err == nil {
			t.Errorf("places %v: %v, want an error", places, got)
		}
	}
	steps, err := c.Steps(1, 3, 2)
	if d := cmp.Diff(Functions{Program: 10, "a": 20}, steps); err != nil || d != "" {
		t.Errorf("the first of two: %v (-want +got):\n%s", err, d)
	}
	if only, err := c.Steps(2, 3, 2); err != nil || only.Sum() != 5 {
		t.Errorf("the first of two where there is one: %v, %v", only, err)
	}
	for _, args := range [][3]int{{1, 3, 0}, {1, 3, -1}, {1, 4, 2}} {
		if got, err := c.Steps(args[0], args[1], args[2]); err == nil {
			t.Errorf("steps %v: %v, want an error", args, got)
		}
	}
	const many = 1 << 40 // a build or the like
	if c, err := Read(strings.NewReader(fmt.Sprintf("mark 2 %d\n0 %[1]d\nend 2\n", uint64(many))), trial); err != nil {
		t.Errorf("%d instructions of one piece: %v", uint64(many), err)
	} else if got, err := c.Between(1, 2); err != nil || got[Program] != many {
		t.Errorf("%d instructions of one piece are %v, %v", uint64(many), got, err)
	}
	if c, err := Read(strings.NewReader("end 0\n"), trial); err != nil || c.Marks() != 0 {
		t.Errorf("a guest without marks: %+v, %v", c, err)
	}
}

// What is not what the plugin writes is refused, and what is cut off anywhere.
func TestReadRefuses(t *testing.T) {
	for at := range len(three) - 1 {
		if c, err := Read(strings.NewReader(three[:at]), trial); err == nil {
			t.Errorf("the first %d bytes are read: %+v", at, c)
		}
	}
	if _, err := Read(strings.NewReader("mark 2 30\n0 30\n"), trial); !errors.Is(err, ErrTruncated) {
		t.Errorf("no end: %v", err)
	}
	for _, text := range []string{
		"mark 3 30\n0 30\nend 3\n",                // the first one
		"mark 2 30\n0 10\nend 2\n",                // 20 are missing
		"mark 2 30\n0 31\nend 2\n",                // one too many
		"mark 2 30\n9 30\nend 2\n",                // no such piece
		"mark 2 -1\nend 2\n",                      //
		"mark 2 18446744073709551615\nend 2\n",    //
		"mark 2 30 1\n0 30\nend 2\n",              //
		"mark 2 30\n0 30\nend 3\n",                // one mark more
		"0 30\nend 1\n",                           // before any mark
		"mark 2 30\n0 30\nend 2\nmark 3 1\n",      // after the end
		"garbage\n",                               //
		"mark 2 30\nmark 30\nend 2\n",             //
		"mark 2 " + strings.Repeat("9", 1<<17),    // without end
		"mark 2 30\n0 thirty\nend 2\n",            //
		"end\n",                                   //
		"mark 2 5\n0 5\nmark 2 5\n0 5\nend 3\n",   // twice
		"mark 2 30\n0 1\x00\n0 29\nend 2\n",       //
		"mark 2 30\n18446744073709551617 30\nend", //
	} {
		if c, err := Read(strings.NewReader(text), trial); err == nil {
			t.Errorf("%.60q is read: %+v", text, c)
		}
	}
}

func TestFunctionOf(t *testing.T) {
	for symbol, want := range map[string]string{
		"copy_process": "copy_process", ".copy_process": "copy_process", "do_exit.cold": "do_exit", "wait4.part.0": "wait4",
		"x.constprop.0.isra.0": "x", "": "", "$x": "", "L1\x02": "", "schedule": "schedule", "L2CR": "L2CR",
	} {
		if got := functionOf(symbol); got != want {
			t.Errorf("functionOf(%q) = %q, want %q", symbol, got, want)
		}
	}
}

// The map of a kernel ascends, and has the functions that every kernel has.
func TestReadMap(t *testing.T) {
	for arch, wanted := range map[string][]string{
		"amd64": {"copy_process", "entry_SYSCALL_64", "do_exit", "schedule"},
		"ppc64": {"copy_process", "system_call_exception", "do_exit", "schedule"},
	} {
		t.Run(arch, func(t *testing.T) {
			m, err := ReadMap(need.Kernel(t, arch))
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for i, name := range m.names {
				names[name] = true
				if i > 0 && m.starts[i] <= m.starts[i-1] {
					t.Fatalf("%s at %#x follows %s at %#x", name, m.starts[i], m.names[i-1], m.starts[i-1])
				}
			}
			for _, name := range wanted {
				if !names[name] {
					t.Errorf("no %s among %d functions", name, len(names))
				}
			}
			if m.name(0) != Program || m.name(len(m.names)) != Other {
				t.Errorf("the ends are %s and %s", m.name(0), m.name(len(m.names)))
			}
		})
	}
	path := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(path, []byte("no kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMap(path); err == nil {
		t.Error("a text is read as a kernel")
	}
}

func TestPlugin(t *testing.T) {
	need.Tool(t, "gcc")
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path, err := Plugin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(b), "\x7fELF") {
		t.Errorf("%s is %.10q, %v", path, b, err)
	}
}
