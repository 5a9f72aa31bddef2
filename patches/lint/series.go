// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const mostPatches = 15

func seriesSize(p *pass, t *Thread) {
	n := len(t.Patches)
	if n <= mostPatches {
		return
	}
	if t.Cover != nil && !p.profile.Strict {
		count := regexp.MustCompile(fmt.Sprintf(`(?i)\b%d\b|\b(long|large|many|number of|all|these) patches\b`, n))
		for _, l := range t.Cover.prose() {
			if statForm.MatchString(l.Text) {
				break
			}
			if count.MatchString(l.Text) && strings.Contains(strings.ToLower(l.Text), "patch") {
				return
			}
		}
	}
	how := fmt.Sprintf("split it, or say in the cover letter why it takes %d patches", n)
	if p.profile.Strict {
		how = "split it; longer ones are not taken"
	}
	p.level(t.first(), t.first().Subject.Line, "the series has %d patches, more than %d; %s", n, mostPatches, how)
}

// level is find, with errors where the profile is strict.
func (p *pass) level(m *Message, line int, format string, args ...any) {
	if p.profile.Strict {
		p.errorf(m, line, format, args...)
	} else {
		p.find(m, line, format, args...)
	}
}

func coverLetter(p *pass, t *Thread) {
	from := p.profile.CoverFrom
	if from == 0 {
		from = 2
	}
	n := max(len(t.Patches), t.first().Subject.M)
	if t.Cover != nil || n < from {
		return
	}
	p.level(t.first(), t.first().Subject.Line, "%d patches and no cover letter; git format-patch --cover-letter makes one, from %d patches on", n, from)
}

var (
	baseForm   = regexp.MustCompile(`^(base-commit|prerequisite-patch-id|base|change-id|prerequisite-change-id|prerequisite-message-id): \S`)
	baseCommit = regexp.MustCompile(`^base-commit:\s*(\S*)`)
	fullCommit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	baseProse  = regexp.MustCompile(`(?i)^\s*base: \S|\b(based (on|off|upon)|(applies|apply) (cleanly )?(to|on|onto|on top of|against)|on top of|rebased (on|onto|to)|(is|are|was|were) (made )?against)\b.*\S`)
)

func baseLine(p *pass, t *Thread) {
	for _, m := range t.Messages {
		if m.Kind != Patch {
			continue
		}
		for _, l := range m.Text {
			if baseCommit.MatchString(l.Text) {
				p.errorf(m, l.No, "base-commit: stands in the commit message; move it below the ---, or to the very end")
				return
			}
		}
	}
	first := t.first()
	found := false
	for _, m := range []*Message{t.Cover, firstPatch(t)} {
		if m == nil {
			continue
		}
		lines := m.Notes
		if m.Kind == Cover {
			lines = m.Text
		}
		for _, l := range slices.Concat(lines, m.tail()) {
			if c := baseCommit.FindStringSubmatch(l.Text); c != nil {
				if !fullCommit.MatchString(c[1]) {
					p.errorf(m, l.No, "base-commit: %s is not the full name of a commit, which git format-patch --base=auto writes", quote(c[1]))
				}
				return
			}
			found = found || baseProse.MatchString(l.Text)
		}
	}
	if !found {
		p.find(first, first.Subject.Line, "nothing says what the series applies to; git format-patch --base=auto adds base-commit:, and where the base is no commit a line \"base: …\" names it")
	}
}

func firstPatch(t *Thread) *Message {
	if len(t.Patches) == 0 {
		return nil
	}
	return t.Patches[0]
}

// tail are the lines below the diff.
func (m *Message) tail() []Line { return m.Diff[len(m.diffLines()):] }

func reroll(p *pass, t *Thread) {
	first := t.first()
	if first.Subject.Version < 2 {
		return
	}
	if first.InReplyTo != "" {
		p.errorf(first, first.field("in-reply-to").Line, "version %d replies to an earlier mail; send it as a thread of its own, with a link to the last version in its text", first.Subject.Version)
	}
	for _, m := range []*Message{t.Cover, firstPatch(t)} {
		if m == nil {
			continue
		}
		lines := m.Notes
		if m.Kind == Cover {
			lines = m.Text
		}
		for _, l := range lines {
			if archive.MatchString(l.Text) {
				return
			}
		}
	}
	p.warnf(first, first.Subject.Line, "there is no link to version %d; put its lore.kernel.org URL into the cover letter, or below the --- of a single patch", first.Subject.Version-1)
}

var archive = regexp.MustCompile(`https?://(\S*\b(lore|lkml|patchwork|marc|spinics|mail-archive|yhbt|inbox|lists)\b\S*|patch\.msgid\.link/\S*|msgid\.link/\S*)`)

var bindings = regexp.MustCompile(`^(Documentation/devicetree/bindings/|include/dt-bindings/)`)

func bindingsSeparate(p *pass, t *Thread) {
	used := map[string]*Message{} // compatible strings that earlier patches have in drivers
	var order []string
	for _, m := range t.Patches {
		first, others := 0, ""
		for _, f := range m.Files {
			path := f.New
			if path == "" {
				path = f.Old
			}
			switch {
			case bindings.MatchString(path):
				if first == 0 {
					first = f.Line
				}
				for _, l := range f.Added {
					for _, c := range order {
						if strings.Contains(l.Text, c) && used[c] != m {
							p.find(m, l.No, "%s is in a driver already in %s; the binding comes before the driver that uses it", quote(c), place(used[c]))
							return
						}
					}
				}
			case path == "MAINTAINERS":
			default:
				others = path
				for _, l := range f.Added {
					if c := compatible.FindStringSubmatch(l.Text); c != nil && used[c[1]] == nil && len(order) < mostCompatible && strings.HasSuffix(path, ".c") {
						used[c[1]] = m
						order = append(order, c[1])
					}
				}
			}
		}
		if first > 0 && others != "" {
			p.find(m, first, "the patch changes a device-tree binding and %s; put the binding into a patch of its own, before that", quote(others))
		}
	}
}

// mostCompatible bounds the compatible strings that are looked for: no series adds as many.
const mostCompatible = 500

var compatible = regexp.MustCompile(`\bcompatible\s*=\s*"([^"]+,[^"]+)"`)
