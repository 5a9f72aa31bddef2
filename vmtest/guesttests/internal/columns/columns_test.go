// SPDX-License-Identifier: Apache-2.0

//go:build linux

package columns

import "testing"

const two = `version 16
timestamp 4294900000
cpu0 1 0 20 3 50 5 600 70 8
domain0 3 1 2
cpu1 1 0 2 3 5 5 600 7 8
`

func TestParseSched(t *testing.T) {
	if got, err := parseSched([]byte(two)); err != nil || got != (sched{22, 55, 2}) {
		t.Errorf("parseSched = %+v, %v", got, err)
	}
	for _, bad := range []string{"", "version 16\n", "cpu0 1 2 3\n", "cpu0 1 0 x 3 50 5 600 70 8\n"} {
		if got, err := parseSched([]byte(bad)); err == nil {
			t.Errorf("parseSched(%q) = %+v, want an error", bad, got)
		}
	}
}
