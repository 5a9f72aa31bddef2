// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// An Arch is an architecture that kernels are built for. A new one is one entry in Arches, and a configs/NAME.config.
type Arch struct {
	Name    string // ours, and Go's: "amd64"
	GoArch  string
	Kernel  string // kbuild's ARCH, and the folder below arch/
	Cross   string // prefix of the cross tools; "" means the host's own
	Machine elf.Machine
	Order   binary.ByteOrder
}

// Arches are the architectures there are, in the order in which they are shown.
var Arches = []Arch{
	{Name: "amd64", GoArch: "amd64", Kernel: "x86", Cross: "", Machine: elf.EM_X86_64, Order: binary.LittleEndian},
	{Name: "ppc64", GoArch: "ppc64", Kernel: "powerpc", Cross: "powerpc64-linux-gnu-", Machine: elf.EM_PPC64, Order: binary.BigEndian},
	{Name: "ppc64le", GoArch: "ppc64le", Kernel: "powerpc", Cross: "powerpc64le-linux-gnu-", Machine: elf.EM_PPC64, Order: binary.LittleEndian},
}

// FindArch returns the architecture of that name.
func FindArch(name string) (Arch, error) {
	var names []string
	for _, a := range Arches {
		if a.Name == name {
			return a, nil
		}
		names = append(names, a.Name)
	}
	return Arch{}, fmt.Errorf("arch %q: unknown; there are %s", name, strings.Join(names, ", "))
}

func (a Arch) String() string { return a.Name }
