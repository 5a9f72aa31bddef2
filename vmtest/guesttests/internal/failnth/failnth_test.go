// SPDX-License-Identifier: Apache-2.0

//go:build linux

package failnth

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for said, want := range map[string]bool{"0\n": true, "1\n": false, "17\n": false, "0": true} {
		if failed, err := parse(said); err != nil || failed != want {
			t.Errorf("parse(%q) = %v, %v, want %v", said, failed, err, want)
		}
	}
	for _, said := range []string{"", "\n", "-1\n", "none\n", "0 0\n"} {
		if failed, err := parse(said); err == nil {
			t.Errorf("parse(%q) = %v, want an error", said, failed)
		}
	}
}

// A file that keeps what is written to it stands for the kernel's, whose allocations are those of the guests' tests.
func TestThread(t *testing.T) {
	fd, err := unix.MemfdCreate("fail-nth", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	thread := Thread{fd}
	defer thread.Close()
	if err := thread.Arm(0); err == nil {
		t.Error("Arm(0): no error")
	}
	if err := thread.Arm(7); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{false, true} { // nothing asks for memory; and then there is the 0 that disarms
		if failed, err := thread.Disarm(); err != nil || failed != want {
			t.Errorf("Disarm() = %v, %v, want %v", failed, err, want)
		}
	}
}
