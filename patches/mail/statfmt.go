// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"fmt"
	"strings"
)

// A fileStat is one file of a diffstat.
type fileStat struct {
	old, new         string // paths; "" for a file that is not there
	oldMode, newMode int    // as git has them, 0100644; 0 where no patch says
	added, deleted   int    // lines
	score            int    // percentage of a rename or copy that stayed the same
	copied           bool
}

func (f *fileStat) renamed() bool { return f.old != "" && f.new != "" && f.old != f.new }

// A diffStat is what `git diff --stat --summary` prints, in the width of 72 columns that git format-patch uses.
type diffStat []fileStat

// String renders the stat in git's form (show_stats and diff_summary in its diff.c).
func (d diffStat) String() string {
	if len(d) == 0 {
		return ""
	}
	var b strings.Builder
	maxName, maxChange := 0, 0
	names := make([]string, len(d))
	for i := range d {
		names[i] = d[i].display()
		maxName = max(maxName, len(names[i]))
		maxChange = max(maxChange, d[i].added+d[i].deleted)
	}
	name, graph, number := statWidths(maxName, maxChange)
	added, deleted := 0, 0
	for i, f := range d {
		added, deleted = added+f.added, deleted+f.deleted
		shown := shortenName(names[i], name)
		change := f.added + f.deleted
		line := fmt.Sprintf(" %s%s | %*d", shown, strings.Repeat(" ", max(0, name-len(shown))), number, change)
		if change > 0 {
			plus, minus := scaleGraph(f.added, f.deleted, graph, maxChange)
			line += " " + strings.Repeat("+", plus) + strings.Repeat("-", minus)
		}
		b.WriteString(line + "\n")
	}
	fmt.Fprintf(&b, " %s changed", countNoun(len(d), "file", ""))
	if added > 0 || deleted == 0 {
		b.WriteString(", " + countNoun(added, "insertion", "(+)"))
	}
	if deleted > 0 || added == 0 {
		b.WriteString(", " + countNoun(deleted, "deletion", "(-)"))
	}
	b.WriteByte('\n')
	for i := range d {
		b.WriteString(d[i].summary())
	}
	return b.String()
}

func countNoun(n int, noun, sign string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s%s", n, noun, sign)
}

// statWidths shares the columns between names and graph: at least 3/8 of the line for the graph and 5/8 for the names
// where both want more than there is.
func statWidths(maxName, maxChange int) (name, graph, number int) {
	number = len(fmt.Sprint(maxChange))
	width := max(coverWidth, 16+6+number)
	name, graph = maxName, maxChange
	if name+number+6+graph <= width {
		return name, graph, number
	}
	if limit := width*3/8 - number - 6; graph > limit {
		graph = max(limit, 6)
	}
	if room := width - number - 6 - graph; name > room {
		name = room
	} else {
		graph = width - number - 6 - name
	}
	return name, graph, number
}

// shortenName takes a name's start away until it fits, at a slash where there is one. Names are ASCII here: quotePath saw
// to that.
func shortenName(name string, width int) string {
	if len(name) <= width {
		return name
	}
	rest := name[len(name)-max(0, width-3):]
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest = rest[i:]
	}
	return "..." + rest
}

func scaleGraph(added, deleted, width, maxChange int) (plus, minus int) {
	if width > maxChange {
		return added, deleted
	}
	scale := func(n int) int {
		if n == 0 {
			return 0
		}
		return 1 + n*(width-1)/maxChange
	}
	total := scale(added + deleted)
	if total < 2 && added > 0 && deleted > 0 {
		total = 2
	}
	if added < deleted {
		plus = scale(added)
		return plus, total - plus
	}
	minus = scale(deleted)
	return total - minus, minus
}

// display is the name of a file in a stat: dir/{old => new}/file for a rename (pprint_rename in git's diff.c).
func (f *fileStat) display() string {
	a, b := f.old, f.new
	switch {
	case b == "":
		return quotePath(a)
	case a == "" || a == b:
		return quotePath(b)
	case quotePath(a) != a || quotePath(b) != b:
		return quotePath(a) + " => " + quotePath(b)
	}
	prefix := 0
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '/' {
			prefix = i + 1
		}
	}
	// The slash that ends the common start may also begin the common end: dir/{ => sub}/file.
	stop := 0
	if prefix > 0 {
		stop = prefix - 1
	}
	suffix := 0
	for i, k := len(a)-1, len(b)-1; i >= stop && k >= stop && a[i] == b[k]; i, k = i-1, k-1 {
		if a[i] == '/' {
			suffix = len(a) - i
		}
	}
	if prefix+suffix == 0 {
		return a + " => " + b
	}
	middle := func(s string) string { return s[prefix:max(prefix, len(s)-suffix)] }
	return a[:prefix] + "{" + middle(a) + " => " + middle(b) + "}" + a[len(a)-suffix:]
}

// summary is the line below the stat for a file that was made, removed, renamed or changed its mode.
func (f *fileStat) summary() string {
	switch {
	case f.old == "":
		return fmt.Sprintf(" create mode %06o %s\n", f.newMode, quotePath(f.new))
	case f.new == "":
		return fmt.Sprintf(" delete mode %06o %s\n", f.oldMode, quotePath(f.old))
	}
	mode := ""
	if f.oldMode != 0 && f.newMode != 0 && f.oldMode != f.newMode {
		mode = fmt.Sprintf(" mode change %06o => %06o", f.oldMode, f.newMode)
	}
	if f.renamed() {
		verb := "rename"
		if f.copied {
			verb = "copy"
		}
		if mode != "" {
			mode += "\n"
		}
		return fmt.Sprintf(" %s %s (%d%%)\n%s", verb, f.display(), f.score, mode)
	}
	if mode == "" {
		return ""
	}
	return mode + " " + quotePath(f.new) + "\n"
}

// quotePath quotes a path as git does where core.quotePath is set: every byte that is no printable ASCII.
func quotePath(path string) string {
	var b strings.Builder
	plain := true
	for i := 0; i < len(path); i++ {
		c := path[i]
		if k := strings.IndexByte("\a\b\t\n\v\f\r\"\\", c); k >= 0 {
			b.WriteString(`\` + string(`abtnvfr"\`[k]))
			plain = false
		} else if c < ' ' || c >= 0x7f {
			fmt.Fprintf(&b, `\%03o`, c)
			plain = false
		} else {
			b.WriteByte(c)
		}
	}
	if plain {
		return path
	}
	return `"` + b.String() + `"`
}
