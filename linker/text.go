// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// maxShown is how many input sections are printed one by one; the JSON form has all.
const maxShown = 24

// WriteText prints an explanation for people.
func (x *Explanation) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s is %s\n", show(x.File), show(x.Section.Name), x.Verdict)
	for _, why := range x.Why {
		fmt.Fprintf(&b, "  %s\n", why)
	}
	fmt.Fprintf(&b, "\n%s, %s\n", x.Kind, x.Machine)
	s := x.Section
	fmt.Fprintf(&b, "section   %s %s, flags %s, %#x-%#x, %d B", show(s.Name), s.Type, s.Flags, s.Addr, s.Addr+s.Size, s.Size)
	if s.Count > 1 {
		fmt.Fprintf(&b, " in %d sections", s.Count)
	}
	b.WriteByte('\n')
	if x.Bounds != nil {
		switch {
		case x.Bounds.Within:
			fmt.Fprintf(&b, "bounds    within __start_rodata..__end_rodata %#x-%#x\n", x.Bounds.Start, x.Bounds.End)
		case x.Bounds.Text:
			fmt.Fprintf(&b, "bounds    within _stext.._etext %#x-%#x\n", x.Bounds.TextStart, x.Bounds.TextEnd)
		default:
			fmt.Fprintf(&b, "bounds    outside of __start_rodata..__end_rodata %#x-%#x\n", x.Bounds.Start, x.Bounds.End)
		}
	}
	for _, p := range x.Segments {
		fmt.Fprintf(&b, "segment   %s %s %#x-%#x; proves %s\n", p.Type, p.Flags, p.Addr, p.Addr+p.Size, p.Proves)
	}
	for _, c := range x.Caveats {
		fmt.Fprintf(&b, "note      %s\n", c)
	}
	x.writeInputs(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (x *Explanation) writeInputs(b *strings.Builder) {
	if len(x.Inputs) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%d input sections, %d B of %d", len(x.Inputs), x.InputsBytes, x.Section.Size)
	// What makes the output writable first; the order of the link is in the JSON form.
	list := slices.Clone(x.Inputs)
	slices.SortStableFunc(list, func(a, b Input) int { return rank(a) - rank(b) })
	if len(list) > maxShown {
		fmt.Fprintf(b, "; %d of them:", maxShown)
		list = list[:maxShown]
	}
	b.WriteByte('\n')
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for _, i := range list {
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%d B\t%s\t%s\n", show(i.Object), show(i.Section), i.Flags, i.Size, i.Relocs, i.Form)
	}
	tw.Flush()
}

func rank(i Input) int {
	if i.Writable {
		return 0
	}
	return 1
}

// String is "3 R_X86_64_PC32, 1 R_X86_64_64", or "no relocations".
func (r Relocs) String() string {
	if r.total() == 0 {
		return "no relocations"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Types)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Types[name], name))
	}
	return strings.Join(parts, ", ")
}
