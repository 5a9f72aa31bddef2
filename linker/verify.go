// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"fmt"
	"strings"
)

// Proofs says the same as the explanation, as proofs that hold or do not: that the section is not writable, that it lies
// within the bounds (of a kernel), and that no input is writable (where the inputs are known). What the file leaves open
// does not pass.
func (x *Explanation) Proofs() []Proof {
	name := "section " + show(x.Section.Name)
	flags := Proof{Name: name + ": flags", Pass: !strings.Contains(x.Section.Flags, "W"),
		Detail: fmt.Sprintf("%s, %d B", x.Section.Flags, x.Section.Size)}
	switch {
	case x.Section.Size == 0:
		flags.Pass = false
		flags.Detail += "; empty: its flags say nothing"
	case !strings.Contains(x.Section.Flags, "A"):
		flags.Pass = false
		flags.Detail += "; not allocated, want A"
	case !flags.Pass:
		flags.Detail += "; writable, want no W"
	}
	if x.InputsAbsent != "" {
		flags.Detail += "; inputs not looked at: " + x.InputsAbsent
	}
	proofs := []Proof{flags}
	if x.Bounds != nil {
		p := Proof{Name: name + ": bounds", Pass: x.Bounds.Within,
			Detail: fmt.Sprintf("%#x-%#x within %#x-%#x", x.Section.Addr, x.Section.Addr+x.Section.Size, x.Bounds.Start, x.Bounds.End)}
		switch {
		case x.Bounds.Text:
			p.Pass = true
			p.Detail = fmt.Sprintf("%#x-%#x within the kernel's code, %#x-%#x", x.Section.Addr, x.Section.Addr+x.Section.Size, x.Bounds.TextStart, x.Bounds.TextEnd)
		case !p.Pass:
			p.Detail = strings.Replace(p.Detail, "within", "lies outside of", 1)
		}
		proofs = append(proofs, p)
	}
	if p, ok := x.inputsProof(name); ok {
		proofs = append(proofs, p)
	}
	// What else keeps the verdict from being read-only, such as another section that lies over this one.
	for _, p := range proofs {
		if !p.Pass {
			return proofs
		}
	}
	if x.Verdict != ReadOnly {
		proofs = append(proofs, Proof{Name: name + ": read-only", Detail: strings.Join(x.Why, "; ")})
	}
	return proofs
}

// Control is the proof that a section which is known to be writable is found to be so, with the object that did it (where the
// inputs are known). It is what shows that Proofs of other sections of the same file could have failed.
func (x *Explanation) Control() Proof {
	p := Proof{Name: "section " + show(x.Section.Name) + ": control", Pass: x.Verdict == Writable,
		Detail: fmt.Sprintf("%s, %d B", x.Section.Flags, x.Section.Size)}
	writers := x.writers()
	switch {
	case !p.Pass:
		p.Detail += "; found " + string(x.Verdict) + ", want writable: " + strings.Join(x.Why, "; ")
	case x.InputsAbsent != "":
		p.Detail += "; writable, as it has to be; inputs not looked at: " + x.InputsAbsent
	case len(writers) == 0:
		p.Pass = false
		p.Detail += "; writable, and no input was found that made it so"
	default:
		p.Detail += "; writable, as it has to be: " + writers[0].String()
	}
	return p
}

func (x *Explanation) inputsProof(name string) (Proof, bool) {
	if x.InputsAbsent != "" {
		return Proof{}, false
	}
	p := Proof{Name: name + ": inputs", Pass: true}
	objects := map[string]bool{}
	for _, in := range x.Inputs {
		objects[in.Object] = true
	}
	p.Detail = fmt.Sprintf("%d input sections of %d objects", len(x.Inputs), len(objects))
	switch writers := x.writers(); {
	case len(x.Inputs) == 0 && x.Section.Size > 0:
		p.Pass = false
		p.Detail = "no input section was found, though it is not empty: the objects and the script are not those that it was linked from"
	case len(writers) > 0:
		p.Pass = false
		var all []string
		for _, w := range writers {
			all = append(all, w.String())
		}
		p.Detail += "; " + strings.Join(all, "; ")
	default:
		p.Detail += ", none writable"
	}
	return p, true
}
