// SPDX-License-Identifier: Apache-2.0

package run_test

import (
	"testing"

	"github.com/seriesrig/series/internal/run"
)

func TestPackage(t *testing.T) {
	for tool, want := range map[string]string{
		"gcc": "gcc", "make": "make", "flex": "flex",
		"ar": "binutils", "strip": "binutils", "objcopy": "binutils",
		"powerpc64-linux-gnu-gcc":   "gcc-powerpc64-linux-gnu",
		"powerpc64-linux-gnu-ld":    "binutils-powerpc64-linux-gnu",
		"powerpc64-linux-gnu-strip": "binutils-powerpc64-linux-gnu",
		"powerpc64le-linux-gnu-ar":  "binutils-powerpc64le-linux-gnu",
		"qemu-system-ppc64":         "qemu-system-ppc",
	} {
		if got := run.Package(tool); got != want {
			t.Errorf("Package(%s) = %s, want %s", tool, got, want)
		}
	}
}
