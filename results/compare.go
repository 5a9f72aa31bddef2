// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"slices"
	"strings"
)

// A MismatchError refuses a comparison of what was not measured under the same conditions.
type MismatchError struct {
	What     string // base hash, config hash, QEMU version …
	Old, New string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("not comparable: %s differs: %s and %s", e.What, e.Old, e.New)
}

// A RepeatError says that one build gave two figures with one seed, where each run has to repeat the one before. No
// difference that such a guest shows can be believed.
type RepeatError struct {
	Build, Name, Unit string
	Diffs             []float64 // of each seed
}

func (e *RepeatError) Error() string {
	return fmt.Sprintf("%s %s: build %.12s does not repeat: with the same seeds it differs from itself by %v", e.Name, e.Unit, e.Build, e.Diffs)
}

// Compare compares a metric of two cells, of one record or of two. It returns nil where one of the cells has no such
// metric, and a *MismatchError where anything differs but the patch: base, architecture, configuration asked for,
// compiler, QEMU or the way it was started, seeds. Within a record, what is asked for changes by what a patch of the series brings
// along, which is a part of what the patch does; the comparison has a warning then. Guests that count instructions are compared seed by seed, interleaved
// boots round by round. A build that differs from itself seed by seed is a *RepeatError.
func Compare(oldRun *Run, oldCell *Cell, newRun *Run, newCell *Cell, name, unit string) (*Comparison, error) {
	if oldCell == nil || newCell == nil {
		return nil, nil
	}
	if err := sameConditions(oldRun, oldCell, newRun, newCell); err != nil {
		return nil, err
	}
	a, b := oldCell.Metric(name, unit), newCell.Metric(name, unit)
	if a == nil || b == nil {
		return nil, nil
	}
	c, err := compareMetrics(oldCell, a, newCell, b)
	if c != nil && oldCell.ConfigHash != newCell.ConfigHash {
		c.Warnings = append(c.Warnings, fmt.Sprintf("up to patch %d the series turns on options of its own: what they cost is in the change", newCell.Patch))
	}
	return c, err
}

// compareMetrics chooses the method by what the figures were measured with.
func compareMetrics(oldCell *Cell, a *Benchmark, newCell *Cell, b *Benchmark) (*Comparison, error) {
	switch {
	case oldCell.counts() && newCell.counts() && (a.Seeds != nil || b.Seeds != nil):
		if !slices.Equal(a.Seeds, b.Seeds) {
			return nil, &MismatchError{What: "seeds", Old: shortList(a.Seeds), New: shortList(b.Seeds)}
		}
		c := comparePaired(a.Values, b.Values, a.Seeds)
		if sameBuild(oldCell, newCell) && slices.ContainsFunc(c.Diffs, func(d float64) bool { return d != 0 }) {
			return nil, &RepeatError{oldCell.Build.ID, a.Name, a.Unit, c.Diffs}
		}
		if !slices.Equal(a.Iters, b.Iters) {
			c.Warnings = append(c.Warnings, "the iterations behind the figures differ: use a fixed number, such as --benchtime 200x")
		}
		return c, nil
	case a.Boots != nil && b.Boots != nil:
		return compareRounds(a, b)
	}
	return compareValues(a.Values, b.Values), nil
}

// counts tells whether the cell's guest counted instructions instead of time.
func (c *Cell) counts() bool {
	return c.QEMU != nil && slices.Contains(c.QEMU.Command, "-icount")
}

func sameBuild(a, b *Cell) bool {
	return a.Build != nil && b.Build != nil && a.Build.ID != "" && a.Build.ID == b.Build.ID
}

// shortList names the values of a list once each: 1 to 8 where they follow each other.
func shortList(seeds []uint64) string {
	if len(seeds) == 0 {
		return "none"
	}
	set := slices.Compact(slices.Sorted(slices.Values(seeds)))
	text := fmt.Sprint(set[0])
	switch n := len(set); {
	case n > 1 && set[n-1]-set[0] == uint64(n-1):
		text = fmt.Sprintf("%d to %d", set[0], set[n-1])
	case n > 1:
		text = strings.Trim(fmt.Sprint(set), "[]")
	}
	if len(seeds) != len(set) {
		text += fmt.Sprintf(" with %d values", len(seeds))
	}
	return text
}

// sameConditions returns the first condition in which the cells differ.
func sameConditions(oldRun *Run, oldCell *Cell, newRun *Run, newCell *Cell) error {
	for _, c := range append([][3]string{
		{"base spec", oldRun.Base.Spec, newRun.Base.Spec},
		{"base version", oldRun.Base.Version, newRun.Base.Version},
		{"base hash", oldRun.Base.Hash, newRun.Base.Hash},
		{"architecture", oldCell.Arch, newCell.Arch},
		{"config", oldCell.Config, newCell.Config},
		{"config hash", configHash(oldRun, newRun, oldCell), configHash(oldRun, newRun, newCell)},
	}, toolConditions(oldCell, newCell)...) {
		if c[1] != c[2] {
			return &MismatchError{What: c[0], Old: c[1], New: c[2]}
		}
	}
	return nil
}

// configHash is that of the configuration asked for, where two records are compared; within one, a patch may bring options along.
func configHash(oldRun, newRun *Run, c *Cell) string {
	if oldRun == newRun {
		return ""
	}
	return c.ConfigHash
}

// toolConditions are what two cells were made and run with, as far as both say it.
func toolConditions(oldCell, newCell *Cell) [][3]string {
	var conditions [][3]string
	if a, b := oldCell.Toolchain, newCell.Toolchain; a != nil && b != nil {
		conditions = append(conditions, [3]string{"toolchain", a.String(), b.String()})
	}
	if a, b := oldCell.QEMU, newCell.QEMU; a != nil && b != nil {
		conditions = append(conditions, [][3]string{
			{"QEMU version", a.Version, b.Version},
			{"accelerator", a.Accel, b.Accel},
			{"machine", a.Machine, b.Machine},
			{"number of CPUs", fmt.Sprint(a.CPUs), fmt.Sprint(b.CPUs)},
			{"memory", fmt.Sprint(a.Memory), fmt.Sprint(b.Memory)},
			{"clock", oldCell.clock(), newCell.clock()},
			{"QEMU command line", a.options(), b.options()},
		}...)
	}
	return conditions
}

// String names the toolchain: its compiler, and the start of its hash, since two builds of one version may differ.
func (t *Toolchain) String() string {
	return fmt.Sprintf("%s (%.19s)", t.Compiler, t.ID)
}

func (c *Cell) clock() string {
	if c.counts() {
		return "instructions"
	}
	return "the host's"
}

// unseen are options of QEMU, each with a value, that are not compared.
var unseen = []string{"-seed", "-plugin"}

// options is QEMU's command line without the program's path, the seed, which is compared by itself, and the plugin that counts
// by function, which changes nothing that a guest could see.
func (q *QEMU) options() string {
	var out []string
	for i, arg := range q.Command {
		if i == 0 || slices.Contains(unseen, arg) || slices.Contains(unseen, q.Command[i-1]) {
			continue
		}
		out = append(out, arg)
	}
	return strings.Join(out, " ")
}
