// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"
)

// form says what kind of declaration gives an input section its flags. The compiler decides on W for a C object by three
// things: whether it is const, whether the code may be moved when it is loaded (-fPIE), and, on powerpc, whether it points
// to a global symbol. For a section made in assembly only the flags that are written there count. Objects have a symbol of
// their own, entries made in assembly usually have none: named is how many there are. What was compiled as fixed code is
// not -fPIE.
func form(m elf.Machine, s *elf.Section, r Relocs, named int, fixed bool) string {
	ppc := m == elf.EM_PPC64 || m == elf.EM_PPC
	code := s.Flags&elf.SHF_EXECINSTR != 0
	switch writable := s.Flags&elf.SHF_WRITE != 0; {
	case strings.HasPrefix(s.Name, ".data..ro_after_init"):
		return "__ro_after_init: writable for the linker, write-protected by the kernel after boot"
	case code && writable:
		return "code in a writable section"
	case code:
		return "code"
	case strings.HasPrefix(s.Name, ".data.rel.ro") && ppc:
		return "const, with relocations against global symbols or compiled with -fPIE, which gcc for powerpc takes for written to"
	case strings.HasPrefix(s.Name, ".data.rel.ro"):
		return "const, with relocations, compiled with -fPIE"
	case !writable && named == 0 && r.total() > 0 && r.relative():
		return `assembly with the flags "a", relative (.long fn - .)`
	case !writable && named == 0 && r.total() > 0:
		return `assembly with the flags "a", absolute address`
	case !writable && r.total() > 0:
		return "const, and its relocations are none that the compiler takes for written to"
	case !writable:
		return "const"
	case named == 0:
		return `assembly with the flags "aw": say "a"`
	case r.total() == 0:
		return "an object that is not const"
	case fixed:
		return fmt.Sprintf("an object that is not const (%q makes what it points to const, not the array)", "const T *table[]")
	case ppc && r.Global > 0:
		return "an object that is not const, or a const one that points to a global symbol, which gcc for powerpc takes for written to, also without -fPIE"
	}
	return "an object that is not const, or a const one with relocations compiled with -fPIE"
}

// fixed tells whether the object's code was certainly not compiled with -fPIE: it has addresses of 32 bits in it, which
// are of no use to code that may lie anywhere. Only x86_64 code tells so much about itself.
func (e *elfFile) fixed() bool {
	if e.Machine != elf.EM_X86_64 {
		return false
	}
	for i, s := range e.Sections {
		if s.Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		if r, err := e.relocs(i); err == nil && (r.Types["R_X86_64_32S"] > 0 || r.Types["R_X86_64_32"] > 0) {
			return true
		}
	}
	return false
}

// A writer is what makes an output section writable: inputs of one name and form.
type writer struct {
	section, flags, form string
	objects              []string
}

// writers groups the writable inputs, in the order of the link.
func (x *Explanation) writers() []writer {
	var all []writer
	for _, in := range x.Inputs {
		if !in.Writable {
			continue
		}
		i := slices.IndexFunc(all, func(w writer) bool { return w.section == in.Section && w.form == in.Form && w.flags == in.Flags })
		if i < 0 {
			i = len(all)
			all = append(all, writer{section: in.Section, flags: in.Flags, form: in.Form})
		}
		if n := len(all[i].objects); n == 0 || all[i].objects[n-1] != in.Object {
			all[i].objects = append(all[i].objects, in.Object)
		}
	}
	return all
}

// maxNamed is how many objects a sentence names.
const maxNamed = 4

func (w writer) String() string {
	var names []string
	for _, o := range w.objects[:min(len(w.objects), maxNamed)] {
		names = append(names, show(o))
	}
	who := strings.Join(names, ", ")
	if n := len(w.objects) - maxNamed; n > 0 {
		who += fmt.Sprintf(" and %d more", n)
	}
	verb := "brings"
	if len(w.objects) > 1 {
		verb = "bring"
	}
	return fmt.Sprintf("%s %s %s with flags %s: %s", who, verb, show(w.section), w.flags, w.form)
}
