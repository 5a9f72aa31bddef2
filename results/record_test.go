// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/results"
)

func encode(t *testing.T, r *results.Run) []byte {
	t.Helper()
	data, err := results.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRecordRoundTrip(t *testing.T) {
	r := trial()
	if err := results.Link(r); err != nil {
		t.Fatal(err)
	}
	data := encode(t, r)
	golden(t, "record.json", string(data))
	got, err := results.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, got); d != "" {
		t.Errorf("Decode(Encode(r)) (-want +got):\n%s", d)
	}
	if again := encode(t, got); !bytes.Equal(again, data) {
		t.Errorf("the record encodes to other bytes after it was read")
	}
	shuffled := trial()
	slices.Reverse(shuffled.Cells)
	if err := results.Link(shuffled); err != nil {
		t.Fatal(err)
	}
	if again := encode(t, shuffled); !bytes.Equal(again, data) {
		t.Errorf("the order of the work shows in the record")
	}
}

// Every single change of a written record is told, and so is every place where it can be cut off.
func TestRecordChanged(t *testing.T) {
	r := trial()
	r.Cells = r.Cells[:1]
	data := encode(t, r)
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if _, err := results.Decode(bytes.NewReader(bad)); err == nil {
			t.Fatalf("byte %d: %q instead of %q was not noticed near %q", i, bad[i], data[i], data[max(0, i-20):i+1])
		}
		if _, err := results.Decode(bytes.NewReader(data[:i])); err == nil {
			t.Fatalf("cut to %d of %d bytes: not noticed", i, len(data))
		} else if i < len(data)-1 && !errors.Is(err, results.ErrTruncated) {
			t.Fatalf("cut to %d of %d bytes: %v, want ErrTruncated", i, len(data), err)
		}
	}
}

func TestRecordBad(t *testing.T) {
	good := string(encode(t, trial()))
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the record", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"edited value":  {replace("4.02", "3.02"), results.ErrHash},
		"duplicate key": {replace(`  "revision": 1,`, "  \"revision\": 2,\n  \"revision\": 1,"), results.ErrHash},
		"spacing":       {replace(`"revision": 1`, `"revision":  1`), results.ErrHash},
		"no hash":       {replace(`"sha256": "sha256:`, `"sha255": "sha256:`), results.ErrHash},
		"empty":         {"", results.ErrTruncated},
		"null":          {"null\n", results.ErrInvalid},
		"list":          {"[]\n", results.ErrInvalid},
		"text":          {"hello\n", results.ErrInvalid},
		"second":        {good + good, results.ErrInvalid},
		"other format":  {replace(`"format": 1`, `"format": 2`), results.ErrInvalid},
	} {
		if _, err := results.Decode(strings.NewReader(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: Decode = %v, want %v", name, err, c.want)
		}
	}
}

// A record that says what cannot be is neither written nor believed.
func TestRecordCheck(t *testing.T) {
	one := 1.0
	for name, spoil := range map[string]func(*results.Run){
		"series":           func(r *results.Run) { r.Series = "" },
		"revision":         func(r *results.Run) { r.Revision = 0 },
		"verdict":          func(r *results.Run) { r.Verdict = "great" },
		"base hash":        func(r *results.Run) { r.Base.Hash = "sha256:12" },
		"base version":     func(r *results.Run) { r.Base.Version = "" },
		"time":             func(r *results.Run) { r.Finished = r.Started.Add(-1) },
		"patch numbers":    func(r *results.Run) { r.Patches[0].N = 7 },
		"patch hash":       func(r *results.Run) { r.Patches[0].Hash = "" },
		"cell twice":       func(r *results.Run) { r.Cells = append(r.Cells, r.Cells[0]) },
		"patch beyond":     func(r *results.Run) { r.Cells[0].Patch = 3 },
		"no arch":          func(r *results.Run) { r.Cells[0].Arch = "" },
		"build id":         func(r *results.Run) { r.Cells[0].Build.ID = "" },
		"tests verdict":    func(r *results.Run) { r.Cells[0].Tests.Verdict = "" },
		"tests pass+fail":  func(r *results.Run) { r.Cells[0].Tests.Failed = 1 },
		"tests negative":   func(r *results.Run) { r.Cells[0].Tests.Passed = -1 },
		"no values":        func(r *results.Run) { r.Cells[0].Benchmarks[0].Values = nil },
		"NaN":              func(r *results.Run) { r.Cells[0].Benchmarks[0].Values[2] = math.NaN() },
		"infinite":         func(r *results.Run) { r.Cells[0].Benchmarks[0].Values[2] = math.Inf(1) },
		"seeds":            func(r *results.Run) { r.Cells[0].Benchmarks[0].Seeds = []uint64{1} },
		"iterations":       func(r *results.Run) { r.Cells[0].Benchmarks[0].Iters = []int{1} },
		"metric twice":     func(r *results.Run) { r.Cells[0].Benchmarks[1] = r.Cells[0].Benchmarks[0] },
		"name with blank":  func(r *results.Run) { r.Cells[0].Benchmarks[0].Name = "A b" },
		"delta of nothing": func(r *results.Run) { r.Cells[0].Benchmarks[0].Delta = &one },
	} {
		r := trial()
		spoil(r)
		if _, err := results.Encode(r); !errors.Is(err, results.ErrInvalid) {
			t.Errorf("%s: Encode = %v, want ErrInvalid", name, err)
		}
	}
	if _, err := results.Encode(trial()); err != nil {
		t.Errorf("the unspoilt record: %v", err)
	}
}

func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results", "kauditd-wakeup")
	json, txt, err := results.Save(dir, trial())
	if err != nil {
		t.Fatal(err)
	}
	r, err := results.Load(json)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, results.Name(r)); json != want+".json" || txt != want+".txt" {
		t.Errorf("Save = %s, %s, want %s.json and .txt", json, txt, want)
	}
	if !strings.HasPrefix(filepath.Base(json), "v1-20261121T101500Z-") {
		t.Errorf("name is %s", json)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%d files are there, want 2 (%v)", len(files), err)
	}
	bad := trial()
	bad.Series = ""
	if _, _, err := results.Save(dir, bad); err == nil {
		t.Errorf("Save wrote a record that is not valid")
	}
	none := trial()
	for i := range none.Cells {
		none.Cells[i].Benchmarks = nil
	}
	if _, txt, err = results.Save(dir, none); err != nil || txt != "" {
		t.Errorf("Save of a record without benchmarks = %q, %v", txt, err)
	}
}

// Where the figures are there but the record cannot be written, nothing stays.
func TestSaveFails(t *testing.T) {
	dir := t.TempDir()
	r := trial()
	if _, err := results.Encode(r); err != nil {
		t.Fatal(err)
	}
	// A folder in the place of the file makes the rename fail, for root too.
	if err := os.MkdirAll(filepath.Join(dir, results.Name(r)+".json", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := results.Save(dir, r); err == nil {
		t.Fatal("Save replaced a folder")
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 1 {
		t.Errorf("%v stayed behind", files)
	}
}

func TestThis(t *testing.T) {
	h := results.ThisHost()
	if h.CPU == "" || h.Cores < 1 || h.Kernel == "" || h.Memory < 1<<20 || h.OS == "" {
		t.Errorf("ThisHost() = %+v, with something missing", h)
	}
	if tool := results.ThisTool(); tool.Version == "" || !strings.HasPrefix(tool.Go, "go1") {
		t.Errorf("ThisTool() = %+v", tool)
	}
}

func TestReplacePaths(t *testing.T) {
	r := trial()
	c := &r.Cells[0]
	c.Build.Image = "/home/me/work/obj/vmlinux"
	c.Build.WarningsNew = []string{"/home/me/work/src/a.c:1: in file /home/me/work/src/b.h", "/home/me/workshop/x", "x/home/me/work"}
	c.QEMU.Command = []string{"qemu", "-kernel", "/home/me/work/obj/vmlinux", "-chardev", "socket,path=/home/me/work,x=/home/me/.cache"}
	r.ReplacePaths(map[string]string{"/home/me/work": "$WORK", "/home/me": "$HOME", "": "nothing"})
	got := append([]string{c.Build.Image}, append(c.Build.WarningsNew, c.QEMU.Command...)...)
	want := []string{"$WORK/obj/vmlinux", "$WORK/src/a.c:1: in file $WORK/src/b.h", "$HOME/workshop/x", "x/home/me/work",
		"qemu", "-kernel", "$WORK/obj/vmlinux", "-chardev", "socket,path=$WORK,x=$HOME/.cache"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ReplacePaths (-want +got):\n%s", d)
	}
	if !r.Started.Equal(trial().Started) {
		t.Error("ReplacePaths changed the time")
	}
}

func TestHidePaths(t *testing.T) {
	for was, want := range map[string]string{
		"/tmp/td2/record1k":                 "record1k",
		"--record=/home/me/out/":            "--record=out",
		"dir:/srv/linux":                    "dir:linux",
		"git:../linux#v6.12.1":              "git:linux#v6.12.1",
		"tar:file:///home/me/linux.tar.xz":  "tar:file:linux.tar.xz",
		"../..":                             "DIR",
		"..":                                "DIR",
		"~/.cache/series":                   "series",
		"socket,path=/run/user/1000/s,id=a": "socket,path=s,id=a",
		"cc1: error writing to /tmp/ccab.s: No space left; see '/tmp/cc.out'": "cc1: error writing to ccab.s: No space left; see 'cc.out'",
		// What stays.
		"$WORK/obj/vmlinux":                        "$WORK/obj/vmlinux",
		"./vmtest/guesttests/kauditd":              "./vmtest/guesttests/kauditd",
		"results/kauditd-wakeup":                   "results/kauditd-wakeup",
		"git:https://git.kernel.org/pub/linux#v6":  "git:https://git.kernel.org/pub/linux#v6",
		"/usr/bin/qemu-system-ppc64":               "/usr/bin/qemu-system-ppc64",
		"rdinit=/series/agent path=/dev/fdset/1":   "rdinit=/series/agent path=/dev/fdset/1",
		"^Tasks/tasks=1000$/of=none|(stat|maps)/x": "^Tasks/tasks=1000$/of=none|(stat|maps)/x",
		"5/5 proofs, and/or more / less":           "5/5 proofs, and/or more / less",
		"v6.11..v6.12":                             "v6.11..v6.12",
	} {
		r := trial()
		r.Command = []string{"series", was}
		r.HidePaths()
		if got := r.Command[1]; got != want {
			t.Errorf("HidePaths makes %q of %q, want %q", got, was, want)
		}
		if left := r.OutsidePaths(); len(left) > 0 {
			t.Errorf("HidePaths leaves %q of %q", left, was)
		}
	}
	r := trial()
	r.Cells[0].Build.Log, r.Base.Spec, r.Cells[0].QEMU.Command = "/tmp/x/log", "dir:/home/me/linux", []string{"-kernel", "/tmp/x/vmlinux"}
	r.Cells[0].Tests.Cases = []results.Test{{Name: "TestX", Output: "/tmp/of/the/guest"}}
	if d := cmp.Diff([]string{"/home/me/linux", "/tmp/x/log", "/tmp/x/vmlinux"}, r.OutsidePaths()); d != "" {
		t.Errorf("OutsidePaths (-want +got):\n%s", d)
	}
}

// toldBefore are paths in records that were made before records hid them; a record is never edited.
var toldBefore = []string{"/tmp/me5/control", "/tmp/td2/record1k"}

// The recorded runs of the repository tell nothing of where they were made.
func TestRecordedPaths(t *testing.T) {
	names, err := filepath.Glob("*/v*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no recorded runs: %v", err)
	}
	for _, name := range names {
		r, err := results.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range r.OutsidePaths() {
			if !slices.Contains(toldBefore, p) {
				t.Errorf("%s tells of %s on the host that it was made on", name, p)
			}
		}
	}
}
