// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"strings"
	"testing"
)

// TestSettleParents: a benchmark that only has others below it ends with them, and not before.
func TestSettleParents(t *testing.T) {
	tests := []struct{ seen, unfinished string }{
		{"BenchmarkA= BenchmarkA/x=bench BenchmarkA/y=bench", ""},
		{"BenchmarkA= BenchmarkA/x=bench BenchmarkA/y=", "BenchmarkA"},
		{"BenchmarkA= BenchmarkA/x= BenchmarkA/x/1=bench", ""},
		{"BenchmarkA= BenchmarkA/x= BenchmarkA/x/1=", "BenchmarkA"},
		{"BenchmarkA= BenchmarkAB/x=bench", "BenchmarkA"},
		{"TestA= TestA/x=pass", "TestA"},
	}
	for _, tt := range tests {
		c := &converter{}
		for _, s := range strings.Fields(tt.seen) {
			name, action, _ := strings.Cut(s, "=")
			c.order = append(c.order, &tested{TestCase: TestCase{Name: name, Action: action}})
		}
		c.settleParents()
		if got := strings.Join(c.unfinished(), " "); got != tt.unfinished {
			t.Errorf("after %q unfinished = %q, want %q", tt.seen, got, tt.unfinished)
		}
	}
}
