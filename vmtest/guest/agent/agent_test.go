// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/vmtest/guest"
)

// panicVar has the test binary be an agent that panics.
const panicVar = "SERIES_TEST_PANIC"

func TestMain(m *testing.M) {
	if os.Getenv(panicVar) != "" {
		a := &agent{enc: guest.NewEncoder(os.Stdout), reaper: newReaper()}
		a.spawn(func() { panic("so it goes") })
		select {}
	}
	os.Exit(m.Run())
}

// A panic in any goroutine is told on the console and to the host, with its stack.
func TestPanicIsReported(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), panicVar+"=1")
	var out, console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &console
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("exit = %v, want status 2", err)
	}
	if !strings.HasPrefix(console.String(), "series-agent: panic: so it goes\n") {
		t.Errorf("console: %q", console.String())
	}
	f, err := guest.NewGuestDecoder(&out).Decode()
	if err != nil || f.Type != guest.TypeError || !bytes.Contains(f.Payload, []byte("so it goes")) ||
		!bytes.Contains(f.Payload, []byte("agent_test.go")) {
		t.Errorf("event = %v %s, %v", f.Type, f.Payload, err)
	}
}

func note(order binary.AppendByteOrder, name string, kind uint32, desc []byte) []byte {
	b := order.AppendUint32(nil, uint32(len(name)))
	b = order.AppendUint32(b, uint32(len(desc)))
	b = order.AppendUint32(b, kind)
	pad := func(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
	return pad(append(pad(append(b, name...)), desc...))
}

func TestBuildID(t *testing.T) {
	id := []byte{0xde, 0xad, 0xbe, 0xef, 0x01}
	type order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	for _, o := range []order{binary.LittleEndian, binary.BigEndian} {
		notes := append(note(o, "Linux\x00", 0x100, []byte("xyz")), note(o, "Xen\x00", 3, []byte("no"))...)
		if got := buildID(notes, o); got != "" {
			t.Errorf("%v: buildID without one = %q", o, got)
		}
		notes = append(notes, note(o, "GNU\x00", 3, id)...)
		if got := buildID(notes, o); got != "deadbeef01" {
			t.Errorf("%v: buildID = %q", o, got)
		}
		for i := range notes { // cut off anywhere, it must not panic
			buildID(notes[:i], o)
		}
		if got := buildID(note(o, "GNU\x00", 3, id)[:18], o); got != "" {
			t.Errorf("%v: buildID of half a note = %q", o, got)
		}
	}
}

func TestEnviron(t *testing.T) {
	got := environ([]string{"PATH=/a", "HOME=/root"}, []string{"X=1", "PATH=/b", "X=2"})
	if diff := cmp.Diff([]string{"HOME=/root", "PATH=/b", "X=2"}, got); diff != "" {
		t.Errorf("environ (-want +got):\n%s", diff)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a/prog": 0o755, "b/prog": 0o755, "a/data": 0o644, "b/sub/x": 0o755} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=" + dir + "/none:" + dir + "/b:" + dir + "/a"}
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"prog", dir + "/b/prog", nil},
		{"data", "", syscall.EACCES},
		{"sub", "", syscall.EACCES},
		{"nothing", "", syscall.ENOENT},
		{"./prog", "./prog", nil},
		{dir + "/a/data", dir + "/a/data", syscall.EACCES},
	} {
		got, err := find(c.name, dir+"/a", env)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("find(%s) = %q, %v, want %q, %v", c.name, got, err, c.want, c.err)
		}
	}
}

// record is one entry of a newc archive.
func record(name string, mode uint32, data string) string {
	h := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	return h + strings.Repeat("\x00", -len(h)&3) + data + strings.Repeat("\x00", -len(data)&3)
}

func TestUnpack(t *testing.T) {
	root := t.TempDir()
	archive := record("d", 0o040750, "") + record("d/f", 0o100640, "12345") + record("/d/deep/g", 0o100755, "g") +
		record("d/l", 0o120777, "f") + record("d/f", 0o100600, "again") + record("TRAILER!!!", 0, "")
	if err := unpack(bufio.NewReader(strings.NewReader(archive+"\x00\x00\x00\x00")), root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"d/f": "again", "d/deep/g": "g", "d/l": "again"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || string(b) != want {
			t.Errorf("%s = %q, %v, want %q", name, b, err, want)
		}
	}
	for name, want := range map[string]os.FileMode{"d": 0o750, "d/f": 0o600, "d/deep/g": 0o755} {
		fi, err := os.Stat(filepath.Join(root, name))
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, fi.Mode(), err, want)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	good := record("f", 0o100644, "12345678")
	for name, c := range map[string]struct{ archive, want string }{
		"text":     {strings.Repeat("not an archive ", 20), "not a newc archive"},
		"old form": {strings.Replace(good, "070701", "070707", 1), "not a newc archive"},
		"no digit": {strings.Replace(good, "00000008", "0000000x", 1), "invalid syntax"},
		"escape":   {record("../f", 0o100644, "x"), "leads out"},
		"cut":      {good[:len(good)-4], "ends inside"},
		"half":     {good[:50], "unexpected EOF"},
		"kind":     {record("s", 0o140644, ""), "no known kind"},
	} {
		err := unpack(strings.NewReader(c.archive), t.TempDir())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: unpack = %v, want %q", name, err, c.want)
		}
	}
}
