// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/vmtest/guest"
)

// aheadRoot is a root folder with a command to be run ahead.
func aheadRoot(t *testing.T, spec any) string {
	t.Helper()
	root := t.TempDir()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, guest.AheadPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// A command that is run ahead has run when the guest says hello, and all of it is told to who asks for it, once.
func TestAhead(t *testing.T) {
	dir := t.TempDir()
	spec := guest.Command{
		Argv: []string{"/bin/sh", "-c", `echo "=== RUN TestA"; echo "--- PASS: TestA (0.00s)"; echo kept >out; echo oops >&2; exit 3`},
		Dir:  dir, Collect: []string{dir}, CollectLimit: guest.DefaultCollectLimit, Marks: true, Ahead: true,
	}
	r := startAgent(t, "-root", aheadRoot(t, spec))
	ctx := testContext(t)
	if _, err := r.Hello(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err != nil {
		t.Errorf("at hello, the command has not run: %v", err)
	}
	var out, errs, data bytes.Buffer
	var marks []string
	exit, err := r.Run(ctx, spec, guest.Stdio{Stdout: &out, Stderr: &errs,
		Test: func(x guest.Test) { marks = append(marks, x.Action+" "+x.Name) },
		File: func(guest.File) (io.WriteCloser, error) { return nopCloser{&data}, nil }})
	if err != nil || exit.Status != 3 {
		t.Fatalf("Run = %v, %v", exit, err)
	}
	if !strings.Contains(out.String(), "=== RUN TestA") || errs.String() != "oops\n" || data.String() != "kept\n" ||
		strings.Join(marks, ",") != "run TestA,pass TestA" {
		t.Errorf("stdout %q, stderr %q, file %q, marks %q", out.String(), errs.String(), data.String(), marks)
	}
	// Others run as ever; this one does not run again.
	if _, out, _ := r.run(t, "echo other"); out != "other\n" {
		t.Errorf("another command says %q", out)
	}
	var a *guest.AgentError
	if _, err := r.Run(ctx, spec, guest.Stdio{File: func(guest.File) (io.WriteCloser, error) { return nil, nil }}); !errors.As(err, &a) ||
		!strings.Contains(err.Error(), "no command was run ahead") {
		t.Errorf("a second Run = %v", err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// What was run is what is told: the host cannot take it for another command.
func TestAheadOfAnother(t *testing.T) {
	spec := guest.Command{Argv: []string{"true"}, CollectLimit: guest.DefaultCollectLimit, Ahead: true}
	r := startAgent(t, "-root", aheadRoot(t, spec))
	spec.Argv = []string{"false"}
	if _, err := r.Run(testContext(t), spec, guest.Stdio{}); err == nil || !strings.Contains(err.Error(), "another command was run ahead") {
		t.Errorf("Run of another command = %v", err)
	}
}

func TestAheadRefused(t *testing.T) {
	for want, spec := range map[string]any{
		"it wants to hear from the host":           guest.Command{Argv: []string{"cat"}, Stdin: true, Ahead: true},
		"run ahead: " + guest.AheadPath + ": json": []string{"no command"},
		"more than 67108864 bytes to tell":         guest.Command{Argv: []string{"head", "-c", "70000000", "/dev/zero"}, Ahead: true},
	} {
		r := startAgent(t, "-root", aheadRoot(t, spec))
		var a *guest.AgentError
		if _, err := r.Hello(testContext(t)); !errors.As(err, &a) || !strings.Contains(a.Message, want) {
			t.Errorf("Hello = %v, want an AgentError with %q", err, want)
		}
	}
}
