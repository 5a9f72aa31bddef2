// SPDX-License-Identifier: Apache-2.0

package trace

import "testing"

func TestNumber(t *testing.T) {
	const stats = "entries: 12\noverrun: 3\ncommit overrun: 400\nvoluntary_ctxt_switches:\t77\nnonvoluntary_ctxt_switches:\t1\n"
	for key, want := range map[string]int{"entries: ": 12, "overrun: ": 3, "\nvoluntary_ctxt_switches:": 77} {
		if got, err := number([]byte(stats), key); got != want || err != nil {
			t.Errorf("number(%q) = %d, %v, want %d", key, got, err, want)
		}
	}
	for _, bad := range []string{"", "entries: x\n", "entries:"} {
		if got, err := number([]byte(bad), "entries: "); err == nil {
			t.Errorf("number of %q = %d, want an error", bad, got)
		}
	}
}

func TestFind(t *testing.T) {
	if tid, err := find("no such thread"); err == nil {
		t.Errorf("find of a name that no thread has = %d, want an error", tid)
	}
}
