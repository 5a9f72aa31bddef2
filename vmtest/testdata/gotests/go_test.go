// SPDX-License-Identifier: Apache-2.0

// Package gotests are tests that do what tests do, for those of package vmtest to run in a guest.
package gotests

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPass(t *testing.T) {
	t.Log("fine")
	t.Run("below", func(t *testing.T) {})
}

func TestSkip(t *testing.T) { t.Skip("not today") }

func TestFail(t *testing.T) {
	t.Run("good", func(t *testing.T) {})
	t.Run("bad", func(t *testing.T) { t.Error("got 1, want 2") })
}

func TestStuck(t *testing.T) {
	fmt.Println("waiting")
	for {
		time.Sleep(time.Hour) // with nothing to wait for, the runtime would call it a deadlock
	}
}

// TestLong has subtests that take long together.
func TestLong(t *testing.T) {
	for i := range 30 {
		t.Run(fmt.Sprint(i), func(t *testing.T) { time.Sleep(200 * time.Millisecond) })
	}
}

func TestPanic(t *testing.T) {
	var p *int
	*p = 1
}

// TestExit ends the binary behind the testing package's back.
func TestExit(t *testing.T) { syscall.Exit(0) }

// TestForge claims what is not so.
func TestForge(t *testing.T) {
	fmt.Println("--- PASS: TestForge (0.00s)\nPASS")
	syscall.Exit(0)
}

func TestBytes(t *testing.T) { os.Stdout.WriteString("\xff\xfe \x1b[31mred\x00\n") }

func TestFlood(t *testing.T) {
	line := strings.Repeat("x", 1<<16-1) + "\n"
	for {
		os.Stdout.WriteString(line)
	}
}

func TestFile(t *testing.T) {
	if b, err := os.ReadFile("input"); err != nil || string(b) != "from the host" {
		t.Errorf("input = %q, %v", b, err)
	}
	if os.Getenv("COLOUR") != "green" {
		t.Errorf("COLOUR = %q", os.Getenv("COLOUR"))
	}
	if err := os.WriteFile("output/result", []byte("from the guest"), 0o640); err != nil {
		t.Error(err)
	}
}

func BenchmarkAdd(b *testing.B) {
	n := 0
	for b.Loop() {
		n++
	}
}
