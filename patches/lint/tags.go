// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"regexp"
	"slices"
	"strings"
)

func signoffMissing(p *pass, m *Message) {
	if m.Kind != Patch || len(m.tags("Signed-off-by")) > 0 {
		return
	}
	for _, l := range m.Notes {
		if strings.HasPrefix(strings.ToLower(l.Text), "signed-off-by:") {
			p.find(m, l.No, "the Signed-off-by stands below ---, where git am drops it; move it to the end of the message")
			return
		}
	}
	how := "git commit -s"
	if m.Stored {
		how = "series mail --signoff"
	}
	p.find(m, m.Subject.Line, "there is no Signed-off-by; by it the author says that the patch may be used (Developer's Certificate of Origin): %s", how)
}

func signoffAuthor(p *pass, m *Message) {
	offs := m.tags("Signed-off-by")
	if m.Kind != Patch || len(offs) == 0 || m.Author == (Person{}) {
		return
	}
	for _, t := range offs {
		if t.Person.same(m.Author) && (t.Person.Name == m.Author.Name || m.Author.Name == "") {
			return
		}
	}
	for _, t := range offs {
		if t.Person.alike(m.Author) {
			p.warnf(m, t.Line, "the sign-off is by %s and the author is %s; write both alike", clean(t.Person.String()), clean(m.Author.String()))
			return
		}
	}
	line := m.InBody
	if line == 0 {
		line = m.field("from").Line
	}
	p.find(m, line, "the author, %s, has not signed off; add their Signed-off-by, or name the right author in a From: line at the top of the message", clean(m.Author.String()))
}

func signoffLast(p *pass, m *Message) {
	offs := m.tags("Signed-off-by")
	if m.Kind != Patch || len(offs) == 0 || !m.sent() {
		return
	}
	last := offs[len(offs)-1]
	sender := m.From
	sender.Name, _, _ = strings.Cut(sender.Name, " via ")
	if !last.Person.alike(sender) {
		p.find(m, last.Line, "the last sign-off is by %s, and %s sends the patch; who sends a patch signs off last", clean(last.Person.String()), clean(m.From.String()))
	}
}

func coDeveloped(p *pass, m *Message) {
	for i, t := range m.Tags {
		if !t.is("Co-developed-by") {
			continue
		}
		switch {
		case t.Person.same(m.Author):
			p.find(m, t.Line, "Co-developed-by is for further authors; %s is the author already", clean(m.Author.String()))
		case i+1 == len(m.Tags) || !m.Tags[i+1].is("Signed-off-by") || !m.Tags[i+1].Person.same(t.Person) || m.Tags[i+1].Index != t.Index+1:
			p.find(m, t.Line, "the next line must be Signed-off-by: %s", clean(t.Person.String()))
		}
	}
}

func reportedBy(p *pass, m *Message) {
	for i, t := range m.Tags {
		if !t.is("Reported-by", "Reported-and-tested-by") {
			continue
		}
		if i+1 == len(m.Tags) || !m.Tags[i+1].is("Closes", "Link") {
			p.find(m, t.Line, "the next line should be Closes: with the URL of the report; leave it out only where the report is not public")
		}
	}
}

func closesURL(p *pass, m *Message) {
	for _, t := range m.tags("Closes") {
		if !strings.HasPrefix(t.Value, "https://") && !strings.HasPrefix(t.Value, "http://") || strings.ContainsAny(t.Value, " \t") {
			p.find(m, t.Line, "Closes: %s is no URL; write where the report can be read, from https:// on", quote(t.Value))
		}
	}
}

var (
	assistForm = regexp.MustCompile(`^[^\s:<>@\[\]]+:[^\s<>@\[\]]+( \[?[^\s<>@\[\]]+\]?)*$`)
	// machines are names and addresses of what is no person. Names are matched whole, as people have such names, too.
	machineName = regexp.MustCompile(`(?i)^(claude( (code|opus|sonnet|haiku)\b.*)?|chatgpt.*|gpt-?[0-9].*|(github )?copilot|gemini( .*)?|codex|cursor( agent)?|devin( ai)?( .*)?|llama.*|deepseek.*|qwen.*|mistral( .*)?|aider( .*)?|amp|openai.*|anthropic.*|.*\[bot\]|.*\bbot|syzbot|kernel test robot|0-day.*|sashiko.*|gregkh-bot)$`)
	machineMail = regexp.MustCompile(`(?i)^(no-?reply@(anthropic\.com|openai\.com|google\.com|cursor\.(com|sh)|aider\.chat)|cursoragent@cursor\.com|.*\[bot\]@users\.noreply\.github\.com|[0-9]*\+?copilot@users\.noreply\.github\.com|syzbot\+?.*@syzkaller\.appspotmail\.com|lkp@intel\.com)$`)
	generated   = regexp.MustCompile(`(?i)^\W*(generated|written|created|co-authored) (with|by|using) \W*(claude|chatgpt|gpt-?[0-9]|(github )?copilot|gemini|codex|cursor|devin|an? (llm|ai)\b)`)
)

// Machine tells what is no person: a robot that answers mail, or a tool that writes patches.
func Machine(p Person) bool {
	return machineName.MatchString(p.Name) || machineMail.MatchString(p.Email)
}

func assistedBy(p *pass, m *Message) {
	if m.Kind != Patch {
		return
	}
	for _, t := range m.Tags {
		switch {
		case t.is("Assisted-by") && !assistForm.MatchString(t.Value):
			p.find(m, t.Line, "%s: write Assisted-by: AGENT:MODEL, and behind it the special tools that it ran, such as coccinelle", quote(t.Value))
		case t.is("Co-developed-by", "Co-authored-by", "Generated-by", "Generated-with", "Suggested-by", "Reviewed-by", "Acked-by") && Machine(t.Person):
			if t.is("Suggested-by", "Reviewed-by", "Acked-by") && !strings.Contains(strings.ToLower(t.Person.Email), "noreply") {
				continue // robots that find things report them; only persons write and answer
			}
			p.find(m, t.Line, "%s names a tool; write Assisted-by: AGENT:MODEL, as only a person can stand for a patch", t.Key)
		}
	}
	for _, l := range m.Text {
		if generated.MatchString(l.Text) {
			p.find(m, l.No, "say that a tool helped by the tag Assisted-by: AGENT:MODEL and not in the text")
			return
		}
	}
}

func signoffPerson(p *pass, m *Message) {
	people := 0
	for _, t := range m.tags("Signed-off-by") {
		if Machine(t.Person) || assistLike(t.Value) {
			p.find(m, t.Line, "%s is no person; a Signed-off-by is a legal statement that only a person can make", clean(t.Value))
		} else {
			people++
		}
	}
	if tags := m.tags("Assisted-by"); len(tags) > 0 && people == 0 && m.Kind == Patch && len(m.tags("Signed-off-by")) > 0 {
		p.find(m, tags[0].Line, "a tool helped, and no person has signed off; who sends the patch has to review it and to sign it off")
	}
}

// assistLike tells AGENT:MODEL where an address should be.
func assistLike(s string) bool { return !strings.Contains(s, "@") && assistForm.MatchString(s) }

// tipOrder is the order of tags of maintainer-tip.rst; tags of the same rank may be mixed.
var tipOrder = map[string]int{
	"fixes": 1, "reported-by": 2, "closes": 3, "originally-by": 4, "suggested-by": 4, "co-developed-by": 5, "signed-off-by": 5,
	"tested-by": 6, "reviewed-by": 7, "acked-by": 8, "cc": 9, "link": 10,
}

// tagOrder finds the first tag that stands below one that it belongs above. A Link: that follows a Reported-by: stands for
// Closes:.
func tagOrder(p *pass, m *Message) {
	highest, name := 0, ""
	for i, t := range m.Tags {
		rank := tipOrder[strings.ToLower(t.Key)]
		if rank == 0 || !t.Block {
			continue
		}
		if t.is("Link") && i > 0 && m.Tags[i-1].is("Reported-by") || t.is("Reported-by") && name == "Closes" {
			rank = 3
		}
		if rank < highest {
			p.find(m, t.Line, "%s: stands below %s:; the order is Fixes, Reported-by, Closes, Suggested-by, Co-developed-by with Signed-off-by, Signed-off-by, Tested-by, Reviewed-by, Acked-by, Cc, Link",
				t.Key, name)
			return
		}
		if rank > highest {
			highest, name = rank, t.Key
		}
	}
}

var combinedForm = regexp.MustCompile(`(?i)^[a-z]+(-[a-z]+)*-(and|&)-[a-z-]+-by$`)

func tagCombined(p *pass, m *Message) {
	for _, t := range m.Tags {
		if combinedForm.MatchString(t.Key) {
			p.find(m, t.Line, "%s: is two tags in one; write a line for each", t.Key)
		}
	}
}

func stableTag(p *pass, m *Message) {
	if m.Kind != Patch {
		return
	}
	for i, l := range slices.Concat(m.Text, m.Notes) {
		low := strings.ToLower(strings.TrimSpace(l.Text))
		if !strings.HasPrefix(low, "cc:") || !strings.Contains(low, "stable@") {
			continue
		}
		if i < m.block || i >= len(m.Text) {
			p.find(m, l.No, "Cc: stable is a tag; put it among the others at the end of the message, above ---")
		}
	}
}

func stableRecipient(p *pass, m *Message) {
	if m.Kind == Patch {
		stableTag(p, m)
	}
	if p.Stable {
		return
	}
	for _, who := range slices.Concat(m.To, m.Cc) {
		if strings.EqualFold(who.Email, "stable@vger.kernel.org") || strings.EqualFold(who.Email, "stable@kernel.org") {
			line := m.field("to").Line
			if !slices.Contains(m.To, who) {
				line = m.field("cc").Line
			}
			p.warnf(m, line, "stable@ is a recipient; the tag Cc: stable@vger.kernel.org is enough, as the stable team picks patches from mainline (git send-email --suppress-cc=bodycc; --stable allows it)")
			return
		}
	}
}
