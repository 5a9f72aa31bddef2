// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"strings"
)

// ControlConfig is the configuration of a control: a kernel that ought to cost what the release kernel of the same patch
// costs. Where it is the same build, the control is A/A. Where it has a harmless change, such as padding in an object that has
// nothing to do with the series, it shows what moving code around does by itself. Further controls are control-2, control-aa …
const ControlConfig = "control"

// IsControl tells the configurations that are controls.
func IsControl(config string) bool {
	return config == ControlConfig || strings.HasPrefix(config, ControlConfig+"-")
}

// A Floor is what controls say of one metric: the largest difference that means nothing.
type Floor struct {
	Smallest float64 // the farthest end of an interval of the controls' differences; at least that much is believed
	Controls int     // number of controls
	Same     int     // of these, how many are the same build as what they control: A/A
}

// Believes tells whether a difference is larger than what the controls show, or there are none.
func (f *Floor) Believes(delta float64) bool {
	return f == nil || math.Abs(delta) > f.Smallest
}

// FloorOf gathers the controls of an architecture's metric. It is nil where none was measured, and a *MismatchError where one
// was measured under other conditions than its release kernel.
func FloorOf(r *Run, arch, config, name, unit string) (*Floor, error) {
	var f *Floor
	for i := range r.Cells {
		control := &r.Cells[i]
		if control.Arch != arch || !IsControl(control.Config) {
			continue
		}
		release := r.CellAt(arch, control.Patch, config)
		a, b := release.Metric(name, unit), control.Metric(name, unit)
		if a == nil || b == nil {
			continue
		}
		for _, c := range toolConditions(release, control) {
			if c[1] != c[2] {
				return nil, fmt.Errorf("control %s: %w", control, &MismatchError{What: c[0], Old: c[1], New: c[2]})
			}
		}
		c, err := compareMetrics(release, a, control, b)
		if err != nil {
			return nil, fmt.Errorf("control %s: %w", control, err)
		}
		if f == nil {
			f = new(Floor)
		}
		f.Controls++
		f.Smallest = max(f.Smallest, math.Abs(c.Lo), math.Abs(c.Hi), math.Abs(c.Delta))
		if sameBuild(release, control) {
			f.Same++
		}
	}
	return f, nil
}

// CompareCosts compares as Compare does and judges the difference by the new record's controls. A difference of
// interleaved boots is not concluded without an A/A control, nor where that spreads by as much as the difference is.
func CompareCosts(oldRun *Run, oldCell *Cell, newRun *Run, newCell *Cell, name, unit string) (*Comparison, error) {
	c, err := Compare(oldRun, oldCell, newRun, newCell, name, unit)
	if c == nil || err != nil {
		return nil, err
	}
	if c.Floor, err = FloorOf(newRun, newCell.Arch, newCell.Config, name, unit); err != nil {
		return nil, err
	}
	if refusal := c.refusal(); refusal != "" {
		c.Significant = false
		c.Warnings = append(c.Warnings, refusal)
	}
	return c, nil
}

// refusal says why nothing is concluded from a difference of interleaved boots.
func (c *Comparison) refusal() string {
	switch {
	case c.Method != Interleaved:
		return ""
	case c.Floor == nil:
		return "no A/A control was measured, so nothing is concluded"
	case c.Floor.Same == 0:
		return "the control is another build, so it is no A/A control, and nothing is concluded"
	case !c.Floor.Believes(c.Delta):
		return "the A/A control spreads by as much as the difference is, so nothing is concluded"
	}
	return ""
}

// Believed tells whether the difference is significant, and larger than what a control shows.
func (c *Comparison) Believed() bool {
	return c.Significant && c.Floor.Believes(c.Delta)
}
