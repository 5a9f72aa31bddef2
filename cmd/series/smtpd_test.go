// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seriesrig/series/internal/smtptest"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// cmdPort makes the port in a file the one that git names for sending.
func cmdPort(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("git", "config", "--global", "sendemail.smtpServerPort", strings.TrimSpace(ts.ReadFile(args[0]))))
}

// cmdHolds waits until a file that matches a pattern has a text in it.
func cmdHolds(ts *testscript.TestScript, neg bool, args []string) {
	for range 200 {
		names, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), args[1]) {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("no %s has %q after 10s", args[0], args[1])
}

// cmdRecord writes a record of the series demo into the work folder: record DAY VERDICT.
func cmdRecord(ts *testscript.TestScript, neg bool, args []string) {
	s, err := patches.Load(ts.MkAbs("patches/demo"))
	ts.Check(err)
	day, err := strconv.Atoi(args[0])
	ts.Check(err)
	at := time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC)
	r := &results.Run{Series: s.ID, Revision: 1, Verdict: results.Verdict(args[1]), Base: results.Base{Spec: "dir:linux", Version: "6.12", Hash: "sha256:" + strings.Repeat("0", 64)}, Started: at, Finished: at}
	for i, p := range s.Patches {
		r.Patches = append(r.Patches, results.PatchFile{N: i + 1, File: filepath.Base(p.File), Subject: p.Subject, Hash: fmt.Sprintf("sha256:%x", sha256.Sum256(p.Raw))})
		r.Cells = append(r.Cells, results.Cell{Arch: "amd64", Patch: i + 1, Config: "release", Build: &results.Build{ID: "x", Image: "vmlinux", Log: "log"},
			Tests: &results.Tests{Verdict: r.Verdict, Passed: 3}})
	}
	dir := ts.MkAbs(".cache/series/runs/demo")
	ts.Check(os.MkdirAll(dir, 0o755))
	_, _, err = results.Save(dir, r)
	ts.Check(err)
}

// smtpdMain is the program smtpd of the scripts: smtpd DIR [STEP NTH KIND]. It writes its port and its certificate to DIR,
// takes mail for ann with the password geheim until it is told to end, and then writes what it took to DIR/1.eml and so on.
func smtpdMain() {
	s := &smtptest.Server{User: "ann", Password: "geheim"}
	dir := os.Args[1]
	if len(os.Args) > 4 {
		nth, err := strconv.Atoi(os.Args[3])
		check(err)
		s.Fault = smtptest.Fault{Step: smtptest.Step(os.Args[2]), Nth: nth, Kind: smtptest.Kind(os.Args[4])}
	}
	check(os.MkdirAll(dir, 0o755))
	check(s.Start())
	check(s.WriteCert(filepath.Join(dir, "cert.pem")))
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	check(os.WriteFile(filepath.Join(dir, "port"), fmt.Appendf(nil, "%d\n", s.Port()), 0o644))
	<-end
	for i, m := range s.Messages() {
		check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.eml", i+1)), fmt.Appendf(m.Data, "RCPT %v\n", m.Rcpt), 0o644))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
