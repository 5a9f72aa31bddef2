// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"context"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
)

// TestRealKernels judges kernels as they are built: what docs/linker.md says of them.
func TestRealKernels(t *testing.T) {
	for arch, want := range map[string]map[string]Verdict{
		"amd64":   {".rodata": Writable, "__modver": Writable, "__param": ReadOnly, ".pci_fixup": ReadOnly, "__ex_table": ReadOnly, ".data": Writable, ".init.data": Writable, ".text": ReadOnly},
		"ppc64":   {".rodata": Writable, ".pci_fixup": Writable, "__modver": Writable, "__param": Writable, "__ex_table": ReadOnly, ".data": Writable, ".init.data": Writable, ".text": ReadOnly},
		"ppc64le": {".rodata": Writable, ".pci_fixup": Writable, "__modver": Writable, "__param": Writable, "__ex_table": ReadOnly, ".data": Writable, ".init.data": Writable, ".text": ReadOnly},
	} {
		t.Run(arch, func(t *testing.T) {
			if arch == "ppc64le" {
				need.Long(t) // it takes a third baseline
			}
			image := need.Kernel(t, arch)
			for section, verdict := range want {
				x, err := Explain(context.Background(), image, section, Inputs{})
				if err != nil {
					t.Fatal(err)
				}
				if x.Verdict != verdict || x.Kind != kindVmlinux {
					t.Errorf("%s of a %s is %s, want %s: %s", section, x.Kind, x.Verdict, verdict, strings.Join(x.Why, "; "))
				}
				if len(x.Segments) != 1 || !strings.HasPrefix(x.Segments[0].Proves, "nothing") {
					t.Errorf("%s: segments %+v, want one that proves nothing", section, x.Segments)
				}
			}
		})
	}
}
