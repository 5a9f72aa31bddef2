// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"fmt"
	"testing"
)

// A kernel that changes its code while several CPUs execute it gets through. With MultiThread, the amd64 guest of this test
// ends as "Oops: int3" within seconds, and often while it boots.
func TestRealCodeChanges(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.CPUs = 2
		var out bytes.Buffer
		res, err := Exec(t.Context(), m, Job{Binary: program(t, m.Arch, "misbehave"), Args: []string{"patch-code", "5s"}, Stdout: &out, Stderr: t.Output()})
		if err != nil || res.Verdict.Kind != Pass {
			t.Fatalf("%v, %+v", err, res)
		}
		var n int
		if _, err := fmt.Sscanf(out.String(), "switched %d times", &n); err != nil || n < 2 {
			t.Errorf("the guest says %q, want that tracepoints were switched on and off", out.String())
		}
		t.Log(out.String())
	})
}
