// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"fmt"
	"slices"
	"strings"
)

// itemWidth is where an entry of the change log is wrapped; lines of a message have at most 75 columns.
const itemWidth = 72

func writeItem(b *strings.Builder, text string) {
	b.WriteString(wrap(text, "- ", "  ", itemWidth) + "\n")
}

// changes is the cover letter's change log: of each revision, the newest first, what is said of the series and then what is
// said of its patches, each thing once.
func (r *renderer) changes() string {
	var b strings.Builder
	for _, c := range slices.Backward(r.Series.Changes) {
		if c.Revision < 2 || c.Revision > r.Revision {
			continue
		}
		items := mergeChanges(c.Series, c.Patches)
		if len(items) == 0 {
			continue
		}
		fmt.Fprintf(&b, "Changes in v%d:\n", c.Revision)
		for _, line := range items {
			writeItem(&b, line)
		}
		b.WriteByte('\n')
	}
	return b.String() + r.previousLink()
}

// mergeChanges puts the entries of one revision together. What is said of several patches in the same words is said once,
// with their numbers; what was said of the series is not said again.
func mergeChanges(series []string, byPatch map[int][]string) []string {
	var out []string
	said := map[string]bool{}
	for _, text := range series {
		if key := entryKey(text); key != "" && !said[key] {
			said[key] = true
			out = append(out, text)
		}
	}
	var numbers []int
	for n := range byPatch {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	where := map[string][]string{}
	var order []string
	for _, n := range numbers {
		for _, text := range byPatch[n] {
			key := entryKey(text)
			if key == "" || said[key] {
				continue
			}
			if where[key] == nil {
				order = append(order, text)
			}
			if number := fmt.Sprint(n); !slices.Contains(where[key], number) {
				where[key] = append(where[key], number)
			}
		}
	}
	for _, text := range order {
		word, list := "patch", where[entryKey(text)]
		if len(list) > 1 {
			word = "patches"
		}
		out = append(out, fmt.Sprintf("%s %s: %s", word, strings.Join(list, ", "), text))
	}
	return out
}

// entryKey is what makes two entries the same: their words, in whatever case the first letters are.
func entryKey(text string) string {
	return strings.ToLower(strings.TrimRight(strings.Join(strings.Fields(text), " "), "."))
}

// previousLink is the key by which b4 and people find the way back; a link is never wrapped.
func (r *renderer) previousLink() string {
	if r.Previous == "" {
		return ""
	}
	url := r.Previous
	if !strings.Contains(url, "://") {
		url = "https://lore.kernel.org/r/" + strings.Trim(url, "<>")
	}
	return fmt.Sprintf("Link: %s\n", url)
}

// patchChanges is the change log of patch n, the newest first. Where this revision left it as it was, that is said first,
// as patman says it.
func (r *renderer) patchChanges(n int) string {
	var parts []string
	if r.Revision < 2 || len(r.Series.Changes) == 0 {
		return ""
	}
	last := 1 // the revision that changed it last
	for _, c := range slices.Backward(r.Series.Changes) {
		items := mergeChanges(c.Patches[n], nil)
		if c.Revision < 2 || c.Revision > r.Revision || len(items) == 0 {
			continue
		}
		last = max(last, c.Revision)
		var b strings.Builder
		fmt.Fprintf(&b, "Changes in v%d:\n", c.Revision)
		for _, item := range items {
			writeItem(&b, item)
		}
		parts = append(parts, b.String())
	}
	if last < r.Revision && r.logged(r.Revision) {
		parts = slices.Insert(parts, 0, fmt.Sprintf("(no changes since v%d)\n", last))
	}
	return strings.Join(parts, "\n")
}

// logged tells whether there is a change log for a revision; without one nothing is known of what changed.
func (r *renderer) logged(revision int) bool {
	for _, c := range r.Series.Changes {
		if c.Revision == revision {
			return true
		}
	}
	return false
}
