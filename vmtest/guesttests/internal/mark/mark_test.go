// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

package mark

import (
	"maps"
	"testing"
)

func TestNumbers(t *testing.T) {
	defer func() { made = 0 }()
	if got := []int{Here(), Here(), Others(5), Here()}; got[0] != 1 || got[1] != 2 || got[2] != 3 || got[3] != 8 {
		t.Errorf("marks are %v, want 1 2 3 8", got)
	}
}

func TestMetrics(t *testing.T) {
	for _, c := range []struct {
		r    Region
		want map[string]int
	}{
		{Region{First: 3, Last: 9, Ops: 200}, map[string]int{"first-mark": 3, "last-mark": 9, "marked-ops": 200}},
		{Region{First: 3, Last: 9, Ops: 2, Low: 0, High: 4}, map[string]int{"first-mark": 3, "last-mark": 9, "marked-ops": 2, "calm-from": 0, "calm-to": 4}},
		{Region{First: 3, Last: 9, Ops: 2, Step: 2, Unit: "diag-insns/task"}, map[string]int{"first-mark@diag-insns/task": 3,
			"last-mark@diag-insns/task": 9, "marked-ops@diag-insns/task": 2, "mark-step@diag-insns/task": 2}},
	} {
		if got := c.r.metrics(); !maps.Equal(got, c.want) {
			t.Errorf("%+v says %v, want %v", c.r, got, c.want)
		}
	}
}
