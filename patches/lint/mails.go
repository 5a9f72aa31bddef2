// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"slices"
	"strings"
)

func mailText(p *pass, m *Message) {
	for _, f := range m.Flaws {
		p.find(m, f.Line, "%s", f.Msg)
	}
	for _, l := range slices.Concat(m.Text, m.Notes) {
		if strings.ContainsFunc(l.Text, hidden) {
			p.find(m, l.No, "the line has a character that is not shown, or changes how others are: %s", quote(l.Text))
		}
	}
	for _, l := range m.Text {
		switch strings.TrimSpace(l.Text) {
		case "-----BEGIN PGP SIGNED MESSAGE-----":
			p.find(m, l.No, "the message is signed inline with PGP, which changes its lines; sign the headers instead (patatt), or send it unsigned")
			return
		case "-----BEGIN PGP MESSAGE-----":
			p.find(m, l.No, "the message is encrypted; a patch is plain text")
			return
		}
	}
}

func mailLineLength(p *pass, m *Message) {
	if m.Stored || len(m.Long) == 0 {
		return
	}
	p.find(m, m.Long[0], "the line has more than %d bytes, which mail servers break; send the message quoted-printable (git send-email --transfer-encoding=auto does)", mailLine)
}

func inBodyFrom(p *pass, m *Message) {
	if m.Kind != Patch {
		return
	}
	from := m.field("from").Line
	if m.InBody == 0 && (strings.Contains(m.From.Name, " via ") || strings.HasPrefix(m.From.Email, "devnull+")) {
		p.find(m, from, "%s is who forwards the patch, and git am makes them its author; begin the message with From: and the author", clean(m.From.String()))
		return
	}
	if m.InBody > 0 {
		if m.Author.Email == "" {
			p.find(m, m.InBody, "From: %s has no address; write From: Name <address>", quote(m.Author.Name))
		}
		return
	}
	// Who wrote a patch signs it off first. Where the first is somebody else, and is not named as a further author, the
	// author was lost when the mail was made.
	offs := m.tags("Signed-off-by")
	if len(offs) < 2 || offs[0].Person.alike(m.Author) {
		return
	}
	for _, t := range m.tags("Co-developed-by") {
		if t.Person.alike(offs[0].Person) {
			return
		}
	}
	p.find(m, from, "%s signed off first, and git am makes %s the author; where that is wrong, begin the message with From: %s",
		clean(offs[0].Person.String()), clean(m.From.String()), clean(offs[0].Person.String()))
}

func threading(p *pass, t *Thread) {
	root := t.first()
	ids := map[string]*Message{}
	for _, m := range t.Messages {
		if m.ID == "" {
			p.find(m, m.Subject.Line, "the mail has no Message-Id, and the others have")
			continue
		}
		if have := ids[m.ID]; have != nil {
			p.find(m, m.field("message-id").Line, "the Message-Id <%s> is that of %s, too", clean(m.ID), place(have))
		}
		ids[m.ID] = m
		if m == root {
			continue
		}
		at := m.field("in-reply-to").Line
		switch {
		case m.InReplyTo == root.ID:
		case m.InReplyTo == "":
			p.find(m, m.Subject.Line, "the patch replies to nothing; it has to reply to the first mail of the thread (git send-email --thread --no-chain-reply-to)")
		case ids[m.InReplyTo] != nil:
			p.find(m, at, "the patch replies to %s; all have to reply to the first mail (git send-email --no-chain-reply-to)", place(ids[m.InReplyTo]))
		default:
			p.find(m, at, "the patch replies to <%s>, which is not the first mail of the thread", clean(m.InReplyTo))
		}
	}
}

// recipients warns of who does not get what they have to. Who a patch is for is taken from the whole thread where one
// message goes to all, so a recipient of a patch and not of another is only missed at the latter.
func recipients(p *pass, m *Message) {
	want := p.wanted(m)
	have := slices.Concat(m.To, m.Cc, []Person{m.From})
	at := m.field("to").Line
	if c := m.field("cc").Line; c > 0 {
		at = c
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h Person) bool { return strings.EqualFold(h.Email, w.Person.Email) }) {
			p.find(m, at, "%s does not get it: %s", clean(w.Person.String()), clean(w.Reason))
		}
	}
}

// wanted are those who have to get a message: a patch goes to the maintainers of its files, the authors of what it fixes
// and those who answered; the cover letter to all who get a patch.
func (p *pass) wanted(m *Message) []Recipient {
	var out []Recipient
	seen := map[string]bool{}
	add := func(r Recipient) {
		key := strings.ToLower(r.Person.Email)
		if key != "" && !seen[key] && !strings.HasPrefix(key, "stable@") {
			seen[key] = true
			out = append(out, r)
		}
	}
	patches := []*Message{m}
	if m.Kind == Cover {
		patches = p.thread.Patches
	}
	for _, q := range patches {
		if p.Maintainers != nil {
			for _, r := range p.Maintainers.Recipients(q.paths()) {
				add(r)
			}
		}
		if p.Commits == nil {
			continue
		}
		for _, t := range q.tags("Fixes") {
			if g := fixesGood.FindStringSubmatch(t.Key + ": " + t.Value); g != nil {
				if c, err := p.Commits.Commit(g[1]); err == nil {
					add(Recipient{c.Author, "author of the commit that the patch fixes"})
				}
			}
		}
	}
	for _, r := range p.Input.Previous {
		if r.Kind == Other && !Machine(r.From) {
			add(Recipient{r.From, "answered to the version before"})
		}
	}
	return out
}

func maintainersCovered(p *pass, t *Thread) {
	var added []string // patterns that the series adds to MAINTAINERS
	for _, m := range t.Patches {
		for _, f := range m.Files {
			if f.New != "MAINTAINERS" {
				continue
			}
			for _, l := range f.Added {
				if v, ok := strings.CutPrefix(l.Text, "F:"); ok {
					added = append(added, strings.TrimRight(strings.TrimSpace(v), "*"))
				}
			}
		}
	}
	for _, m := range t.Patches {
		for _, f := range m.Files {
			if !f.IsNew() || p.Maintainers.Covered(f.New) {
				continue
			}
			if slices.ContainsFunc(added, func(a string) bool { return a != "" && strings.HasPrefix(f.New, a) }) {
				continue
			}
			p.find(m, f.Line, "%s is new, and MAINTAINERS has no entry for it; add one, with its F: line in the patch that adds the file", quote(f.New))
		}
	}
}
