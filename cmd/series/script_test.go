// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// noSleep is $GORACE: under the race detector each program that a test starts would else take a second to end.
const noSleep = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "qemu-system-x86_64" { // and not as a command, which would be in every test's PATH
		standInQEMU()
		return
	}
	os.Setenv("GORACE", noSleep)
	testscript.Main(m, map[string]func(){
		"series": main,
		"smtpd":  smtpdMain,
	})
}

// TestScript runs the command line the way a user does. The base is a small folder that looks like a kernel's, so that no
// network, compiler or QEMU is needed; what needs those is in the guest tier.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			env.Setenv("GORACE", noSleep)
			return os.CopyFS(filepath.Join(env.WorkDir), os.DirFS("testdata/house"))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"toolchain": cmdToolchain,
			"standin":   cmdStandIn,
			"elf":       cmdELF,
			"appears":   cmdAppears,
			"gone":      cmdGone,
			"port":      cmdPort,
			"holds":     cmdHolds,
			"record":    cmdRecord,
			// status N series ARGS... runs series and checks its exit status.
			"status": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: status N series ARGS...")
				}
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if err != nil {
					got = exitStatus(err)
				}
				if got != args[0] {
					ts.Fatalf("%q: exit status %s, want %s", args[1:], got, args[0])
				}
			},
		},
	})
}

func TestExitCode(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if got := exitCode(canceled, context.Canceled); got != exitInterrupted {
		t.Errorf("exitCode of an interruption = %d, want %d", got, exitInterrupted)
	}
	if got := exitCode(context.Background(), os.ErrPermission); got != exitRig {
		t.Errorf("exitCode of an unknown error = %d, want %d: nothing was learned", got, exitRig)
	}
	if got := exitCode(context.Background(), said{exitFinding}); got != exitFinding {
		t.Errorf("exitCode(said{1}) = %d, want %d", got, exitFinding)
	}
}
