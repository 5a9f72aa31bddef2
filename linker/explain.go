// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
)

// A Verdict says what a file bears out about one of its sections.
type Verdict string

const (
	ReadOnly Verdict = "read-only" // not writable, and where the kernel write-protects
	Writable Verdict = "writable"  // the file itself makes it writable, or puts it where the kernel leaves it so
	Unknown  Verdict = "unknown"   // nothing in the file decides it
)

// The kinds of files.
const (
	kindVmlinux = "vmlinux"    // linked, with the bounds of the kernel's read-only data
	kindModule  = "module"     // relocatable, with a struct module
	kindObject  = "object"     // relocatable
	kindLinked  = "executable" // linked, without those bounds
)

// An Explanation says why a section is or is not read-only. Its JSON form is stable: fields may be added.
type Explanation struct {
	File     string    `json:"file"`
	Kind     string    `json:"kind"`    // vmlinux, module, object, executable
	Machine  string    `json:"machine"` // such as "ELFCLASS64 ELFDATA2MSB EM_PPC64"
	BuildID  string    `json:"build_id,omitempty"`
	Section  Section   `json:"section"`
	Verdict  Verdict   `json:"verdict"`
	Why      []string  `json:"why"` // what decides the verdict, a sentence each
	Bounds   *Bounds   `json:"bounds,omitempty"`
	Segments []Segment `json:"segments,omitempty"`

	Inputs       []Input  `json:"inputs"`                  // in the order of the link
	InputsBytes  int64    `json:"inputs_bytes"`            // their sum; the rest of the section is padding, or the linker's own
	InputsAbsent string   `json:"inputs_absent,omitempty"` // why inputs is empty although the section may have some
	Caveats      []string `json:"caveats"`                 // what all this does not prove
}

// A Section is a section of the file that is explained.
type Section struct {
	Name  string `json:"name"`
	Type  string `json:"type"`  // such as SHT_PROGBITS
	Flags string `json:"flags"` // as readelf prints them: "WA"
	Addr  uint64 `json:"addr"`
	Size  uint64 `json:"size"`  // bytes
	Count int    `json:"count"` // how many of the name there are; an object file may have several, which are taken as one
}

// Bounds are those of what mark_rodata_ro() protects: the kernel's read-only data, from __start_rodata to __end_rodata,
// and its code, from _stext to _etext.
type Bounds struct {
	Start     uint64 `json:"start"`
	End       uint64 `json:"end"`
	Within    bool   `json:"within"`               // the whole section lies in [Start, End)
	TextStart uint64 `json:"text_start,omitempty"` // 0 where the file has no such symbols
	TextEnd   uint64 `json:"text_end,omitempty"`
	Text      bool   `json:"text,omitempty"` // the whole section lies in [TextStart, TextEnd)
}

// A Segment is a program header whose memory takes the section in.
type Segment struct {
	Type   string `json:"type"`  // such as PT_LOAD
	Flags  string `json:"flags"` // "R-E"
	Addr   uint64 `json:"addr"`
	Size   uint64 `json:"size"` // bytes in memory
	Proves string `json:"proves"`
}

// An Input is an input section of the output section.
type Input struct {
	Object   string   `json:"object"` // as kbuild names it: kernel/fork.o
	Section  string   `json:"section"`
	Flags    string   `json:"flags"`
	Size     uint64   `json:"size"` // bytes
	Relocs   Relocs   `json:"relocs"`
	Symbols  []string `json:"symbols,omitempty"` // named objects in it, at most maxSymbols
	Writable bool     `json:"writable"`          // it makes the output section writable
	Form     string   `json:"form,omitempty"`    // what declaration gives such a section
}

// maxSymbols is how many symbols of an input section are named.
const maxSymbols = 8

// Explain says why the section of that name in the ELF file at path is or is not read-only. A section that is not there
// is a *NoSectionError. Inputs that cannot be found are no error; the explanation says so.
func Explain(ctx context.Context, path, section string, in Inputs) (*Explanation, error) {
	x, err := explain(ctx, path, section, in)
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	return x, nil
}

func explain(ctx context.Context, path, section string, in Inputs) (*Explanation, error) {
	e, err := openELF(path)
	if err != nil {
		return nil, err
	}
	defer e.close()
	x, err := e.explain(section)
	if err != nil {
		return nil, err
	}
	if err := x.inputs(ctx, e, in); err != nil {
		return nil, err
	}
	x.judge(e)
	return x, nil
}

// explain does what needs nothing but the file.
func (e *elfFile) explain(section string) (*Explanation, error) {
	if section == "" {
		return nil, fmt.Errorf("%s: no section named", e.path)
	}
	found := e.named(section)
	if len(found) == 0 {
		return nil, e.noSection(section)
	}
	if _, err := e.syms(); err != nil {
		return nil, err
	}
	kind, bounds, err := e.kind()
	if err != nil {
		return nil, err
	}
	x := &Explanation{File: e.path, Kind: kind, Machine: fmt.Sprintf("%s %s %s", e.Class, e.Data, e.Machine),
		Bounds: bounds, Inputs: []Input{}, Why: []string{}, Caveats: []string{}}
	if id, err := readBuildID(e.File); err == nil {
		x.BuildID = id
	}
	x.Section = Section{Name: section, Type: found[0].Type.String(), Addr: found[0].Addr, Count: len(found)}
	var all elf.SectionFlag
	for _, s := range found {
		all |= s.Flags
		x.Section.Size += s.Size
	}
	x.Section.Flags = flags(all)
	if len(found) > 1 && e.Type != elf.ET_REL {
		return nil, fmt.Errorf("%s: %d sections are named %s, which no linker makes", e.path, len(found), show(section))
	}
	if bounds != nil {
		end := x.Section.Addr + x.Section.Size
		bounds.Within = bounds.Start <= x.Section.Addr && end <= bounds.End
		bounds.Text = bounds.TextStart <= x.Section.Addr && end <= bounds.TextEnd
	}
	x.Segments = e.segments(found[0])
	return x, nil
}

// kind tells what kind of file it is, and the bounds of a kernel's read-only data.
func (e *elfFile) kind() (string, *Bounds, error) {
	switch e.Type {
	case elf.ET_REL:
		if len(e.named(".gnu.linkonce.this_module")) > 0 {
			return kindModule, nil, nil
		}
		return kindObject, nil, nil
	case elf.ET_EXEC, elf.ET_DYN:
	default:
		return "", nil, fmt.Errorf("%s: is of type %s, not an object, a module or a linked kernel", e.path, e.Type)
	}
	start, okStart, err := e.symbol("__start_rodata")
	if err != nil {
		return "", nil, err
	}
	end, okEnd, err := e.symbol("__end_rodata")
	if err != nil {
		return "", nil, err
	}
	if !okStart || !okEnd {
		return kindLinked, nil, nil
	}
	b := &Bounds{Start: start, End: end}
	stext, okStart, err := e.symbol("_stext")
	if err != nil {
		return "", nil, err
	}
	etext, okEnd, err := e.symbol("_etext")
	if err != nil {
		return "", nil, err
	}
	if okStart && okEnd {
		b.TextStart, b.TextEnd = stext, etext
	}
	return kindVmlinux, b, nil
}

// segments finds the program headers that take a section in.
func (e *elfFile) segments(s *elf.Section) []Segment {
	var all []Segment
	for _, p := range e.Progs {
		if s.Flags&elf.SHF_ALLOC == 0 || p.Type != elf.PT_LOAD || s.Addr < p.Vaddr || s.Addr-p.Vaddr >= p.Memsz {
			continue
		}
		all = append(all, Segment{Type: p.Type.String(), Flags: progFlags(p.Flags), Addr: p.Vaddr, Size: p.Memsz, Proves: e.proves(p)})
	}
	return all
}

func progFlags(f elf.ProgFlag) string {
	b := []byte("---")
	for i, l := range []struct {
		f elf.ProgFlag
		c byte
	}{{elf.PF_R, 'R'}, {elf.PF_W, 'W'}, {elf.PF_X, 'E'}} {
		if f&l.f != 0 {
			b[i] = l.c
		}
	}
	return string(b)
}

// proves says what a segment's flags are worth. The kernel's boot code maps itself; nobody asks the program header. And
// linker scripts of the kernel set them with FLAGS(), so they say what the script's author wrote, not what the sections
// are: on x86 the segment of text and read-only data is R-E whatever is in it, on powerpc all is one RWX segment.
func (e *elfFile) proves(p *elf.Prog) string {
	switch {
	case e.Machine == elf.EM_X86_64 || e.Machine == elf.EM_386:
		return "nothing: the script of x86 sets the flags (PHDRS ... FLAGS), R-E also over sections that are writable, and the kernel makes its own page tables"
	case (e.Machine == elf.EM_PPC64 || e.Machine == elf.EM_PPC) && p.Flags == elf.PF_R|elf.PF_W|elf.PF_X:
		return "nothing: the script of powerpc puts all of the kernel into one RWX segment, read-only data too"
	case p.Flags&elf.PF_W != 0:
		return "nothing against it: a segment is writable when one of its sections is, and the kernel makes its own page tables"
	}
	return "little: the linker saw no writable section in it, or a script set the flags; the kernel makes its own page tables"
}

// judge comes to the verdict.
func (x *Explanation) judge(e *elfFile) {
	why := func(format string, args ...any) { x.Why = append(x.Why, fmt.Sprintf(format, args...)) }
	s := e.named(x.Section.Name)[0]
	var all elf.SectionFlag
	for _, s := range e.named(x.Section.Name) {
		all |= s.Flags
	}
	x.Verdict = Unknown
	switch {
	case x.Section.Size == 0:
		why("the section is empty: its flags (%s) come from no input, and say nothing", x.Section.Flags)
		return
	case all&elf.SHF_ALLOC == 0:
		why("the section is not allocated (no A in %q): it is not in memory at all", x.Section.Flags)
		return
	}
	x.Verdict = ReadOnly
	if all&elf.SHF_WRITE != 0 {
		x.Verdict = Writable
		why("the section has SHF_WRITE (%s): an output section has the union of the flags of its inputs", x.Section.Flags)
	}
	if all&elf.SHF_EXECINSTR != 0 {
		why("the section has SHF_EXECINSTR (%s): code is in it", x.Section.Flags)
	}
	for _, w := range x.writers() {
		if x.Verdict == ReadOnly {
			x.Verdict = Writable
			why("the output is not writable (%s) but an input is: the script hides it, as with (READONLY)", x.Section.Flags)
		}
		why("%s", w)
	}
	for _, o := range overlapping(e, s) {
		x.Verdict = Writable
		why("section %s (%s) lies over it, and is writable", show(o.Name), flags(o.Flags))
	}
	x.place(why)
}

// place judges where the section lies, and what that is worth.
func (x *Explanation) place(why func(string, ...any)) {
	caveat := func(text string) { x.Caveats = append(x.Caveats, text) }
	switch x.Kind {
	case kindVmlinux:
		if x.Bounds.Text {
			if x.Verdict == ReadOnly {
				why("no SHF_WRITE (%s), and within _stext.._etext: it is protected with the kernel's code", x.Section.Flags)
			}
		} else if !x.Bounds.Within {
			x.Verdict = Writable
			why("it lies at %#x-%#x, outside of __start_rodata..__end_rodata %#x-%#x, which is what mark_rodata_ro() protects",
				x.Section.Addr, x.Section.Addr+x.Section.Size, x.Bounds.Start, x.Bounds.End)
		} else if x.Verdict == ReadOnly {
			why("no SHF_WRITE (%s), and within __start_rodata..__end_rodata", x.Section.Flags)
		}
		caveat("the kernel protects it when it runs mark_rodata_ro(), with CONFIG_STRICT_KERNEL_RWX; only a test at run time shows that")
	case kindModule:
		if x.Verdict == ReadOnly {
			why("no SHF_WRITE (%s): the module loader puts it into MOD_RODATA", x.Section.Flags)
		}
		caveat("the module loader protects it before the module is COMING, with CONFIG_STRICT_MODULE_RWX; only a test at run time shows that")
	case kindObject:
		if x.Verdict == ReadOnly {
			why("no SHF_WRITE (%s): it makes no output section writable", x.Section.Flags)
		}
		caveat("an object only contributes: the output section has the union of the flags of all that go into it")
	default:
		if x.Verdict == ReadOnly {
			x.Verdict = Unknown
			why("no SHF_WRITE (%s), but there is no __start_rodata and __end_rodata: nothing says where a kernel would protect it", x.Section.Flags)
		}
	}
	if x.InputsAbsent != "" {
		caveat("inputs not looked at: " + x.InputsAbsent)
	}
}

// overlapping returns the writable sections that take up addresses of s.
func overlapping(e *elfFile, s *elf.Section) []*elf.Section {
	var all []*elf.Section
	if e.Type == elf.ET_REL {
		return nil
	}
	for _, o := range e.Sections {
		tbss := o.Type == elf.SHT_NOBITS && o.Flags&elf.SHF_TLS != 0 // takes no addresses
		if o != s && o.Flags&elf.SHF_ALLOC != 0 && o.Flags&elf.SHF_WRITE != 0 && !tbss &&
			o.Addr < s.Addr+s.Size && s.Addr < o.Addr+o.Size {
			all = append(all, o)
		}
	}
	return all
}

// inputs fills in what the section was made from.
func (x *Explanation) inputs(ctx context.Context, e *elfFile, in Inputs) error {
	if x.Kind == kindObject && len(in.Files) == 0 {
		return x.own(e)
	}
	l, err := in.find(e, x.Kind)
	var none *errNoInputs
	if errors.As(err, &none) {
		x.InputsAbsent = none.why
		return nil
	}
	if err != nil {
		return err
	}
	return x.gather(ctx, e, l)
}
