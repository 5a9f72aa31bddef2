// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"context"
	"debug/elf"
	"errors"
	"path/filepath"
	"strings"
)

// shfExclude is SHF_EXCLUDE of elf.h: the section is left out of what is linked.
const shfExclude elf.SectionFlag = 1 << 31

// own takes the sections of an object file as their own inputs.
func (x *Explanation) own(e *elfFile) error {
	for i, s := range e.Sections {
		if s.Name == x.Section.Name && s.Type != elf.SHT_NULL {
			if err := x.input(e, filepath.Base(e.path), i, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// gather looks through the objects of a link for the sections that went into the output section.
func (x *Explanation) gather(ctx context.Context, e *elfFile, l *link) error {
	if l.script != nil {
		if forced := l.script.forced(); forced != "" {
			for i := range x.Segments {
				x.Segments[i].Proves = "nothing: the linker script sets the flags itself (" + forced + "), whatever the sections are, and the kernel makes its own page tables"
			}
		}
		switch o := l.script.find(x.Section.Name); {
		case o == nil:
			x.Caveats = append(x.Caveats, "the linker script does not name the section: inputs are taken by its name (an orphan)")
		case strings.Contains(o.typ, "READONLY"):
			x.Caveats = append(x.Caveats, "the linker script says (READONLY), which takes the write flag off the output whatever the inputs are")
		}
	}
	defined, err := definedIn(e, l)
	if err != nil {
		return err
	}
	for _, o := range l.objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := x.object(o, l, defined)
		if errors.Is(err, errBitcode) { // CONFIG_LTO_CLANG
			x.Inputs, x.InputsBytes, x.InputsAbsent = []Input{}, 0, err.Error()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// definedIn returns the global symbols of the linked file, when there are libraries whose members may be in it or not.
func definedIn(e *elfFile, l *link) (map[string]bool, error) {
	for _, o := range l.objects {
		if !o.maybe {
			continue
		}
		all, err := e.syms()
		if err != nil {
			return nil, err
		}
		set := make(map[string]bool, len(all))
		for _, s := range all {
			set[s.Name] = set[s.Name] || s.Section != elf.SHN_UNDEF
		}
		return set, nil
	}
	return nil, nil
}

func (x *Explanation) object(o object, l *link, defined map[string]bool) error {
	e, err := o.open()
	if err != nil {
		return err
	}
	defer e.close()
	as := l.as
	if as == "" {
		as = o.name
	}
	taken := !o.maybe
	for i, s := range e.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || s.Size == 0 || s.Flags&shfExclude != 0 || !x.takes(l, as, s.Name) {
			continue
		}
		if !taken {
			if taken, err = e.anyDefined(defined); err != nil || !taken {
				return err // the linker did not take this member of a library
			}
		}
		if err := x.input(e, o.name, i, s); err != nil {
			return err
		}
	}
	return nil
}

// takes tells whether the output section takes an input section in: by the script, and by its name where no script says
// where it goes.
func (x *Explanation) takes(l *link, as, section string) bool {
	if l.script != nil {
		if to, ok := l.script.output(as, section); ok {
			return to == x.Section.Name
		}
		return section == x.Section.Name
	}
	return section == x.Section.Name || strings.HasPrefix(section, x.Section.Name+".")
}

func (e *elfFile) anyDefined(defined map[string]bool) (bool, error) {
	all, err := e.syms()
	if err != nil {
		return false, err
	}
	for _, s := range all {
		if s.Section != elf.SHN_UNDEF && elf.ST_BIND(s.Info) != elf.STB_LOCAL && defined[s.Name] {
			return true, nil
		}
	}
	return false, nil
}

// input adds one input section, number i of e.
func (x *Explanation) input(e *elfFile, object string, i int, s *elf.Section) error {
	relocs, err := e.relocs(i)
	if err != nil {
		return err
	}
	in := Input{Object: object, Section: s.Name, Flags: flags(s.Flags), Size: s.Size, Relocs: relocs}
	all, err := e.syms()
	if err != nil {
		return err
	}
	named := 0
	for _, sym := range all {
		if int(sym.Section) != i || elf.ST_TYPE(sym.Info) != elf.STT_OBJECT {
			continue
		}
		if named++; named <= maxSymbols {
			in.Symbols = append(in.Symbols, sym.Name)
		}
	}
	in.Writable = s.Flags&elf.SHF_WRITE != 0
	fixed := in.Writable && named > 0 && e.fixed()
	in.Form = form(e.Machine, s, relocs, named, fixed)
	x.InputsBytes += int64(s.Size)
	x.Inputs = append(x.Inputs, in)
	return nil
}
