// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// The folder client, built for this architecture and for 32-bit x86; series.toml has both ([guest] programs).
const (
	client   = "client"
	client32 = "client-386"
)

func look32(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return out
}

// noVDSO takes out the lines of the vdso: its pages are shared with all programs of so many bits, the one that looks included.
func noVDSO(b []byte) []byte {
	lines := bytes.Split(b, []byte("\n"))
	return bytes.Join(slices.DeleteFunc(lines, func(line []byte) bool { return bytes.Contains(line, []byte(`"[vdso]"`)) }), []byte("\n"))
}

// A 32-bit program gets the answer that a 64-bit one gets, in reads large and small, and so does one that looks at a 32-bit
// program, which /proc says the same about.
func TestClient32(t *testing.T) {
	path, err := exec.LookPath(client32)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if f.Class != elf.ELFCLASS32 || f.Machine != elf.EM_386 {
		t.Fatalf("%s is %v for %v: that proves nothing", path, f.Class, f.Machine)
	}
	// A copy, which does not share its pages with the one that looks at it.
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, b, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-wait")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s said %q, %v", program, line, err)
	}
	narrow := cmd.Process.Pid
	stop(t, narrow)

	pids := map[int]string{narrow: "32-bit", idle: "kernel thread"}
	for _, what := range []string{"mappings", "credentials", "signals", "zombie", "name"} {
		pids[target(t, what)] = what
	}
	for pid, what := range pids {
		for _, buffer := range []string{"256", "65536"} {
			same := false
			var wide, narrow []byte
			for range 5 { // pages that are shared with others change
				args := []string{"-buffer", buffer, fmt.Sprint(pid)}
				wide, narrow = noVDSO(look32(t, client, args...)), noVDSO(look32(t, client32, args...))
				if same = bytes.Equal(wide, narrow); same {
					break
				}
			}
			if !same || len(wide) < 100 {
				t.Errorf("%s, buffers of %s bytes: 64 bits say\n%.1500s32 bits say\n%.1500s", what, buffer, wide, narrow)
			}
		}
	}

	d := open(t)
	want, err := procVMAs(fmt.Sprintf("/proc/%d/maps", narrow))
	if err != nil {
		t.Fatal(err)
	}
	got := d.dump(t, dumpOne, showVMA, narrow).tasks[0].VMAs
	if len(got) != len(want) || len(got) < 5 {
		t.Fatalf("32-bit program: %d mappings, maps has %d", len(got), len(want))
	}
	for i, v := range got {
		if p := v.proc(); p.Line != want[i].Line || p.Name != want[i].Name || v.End > 1<<32 {
			t.Errorf("32-bit program: mapping %d: %+v, want %+v", i, p, want[i])
		}
	}
}
