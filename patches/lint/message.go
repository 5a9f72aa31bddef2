// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// A Kind says what a message is.
type Kind int

// The kinds of message. What is neither a patch nor a cover letter, such as a reply, is not judged.
const (
	Other Kind = iota
	Cover
	Patch
)

// A Message is a mail or a patch file, taken apart. Lines are those of the file that it stands in.
type Message struct {
	File   string // as it was given; findings name it
	Number int    // among the messages of its file; 1 is the first
	Line   int    // where it starts; 1 is the first line of the file
	Kind   Kind
	// Stored says that it is a file of a series' folder, of which the mail is yet to be made.
	Stored bool

	Fields  []Field
	Subject Subject
	From    Person // of the header; where the message was sent, the sender
	Author  Person // who git am makes the author: the in-body From, or From
	InBody  int    // line of the in-body From; 0 where there is none

	ID        string   // without angle brackets; "" where it was not sent
	InReplyTo string   // without angle brackets
	Parents   []string // In-Reply-To and References, without angle brackets
	To, Cc    []Person

	Text  []Line // the commit message below the subject, tags included; of a cover letter all of it
	Notes []Line // between --- and the diff
	Diff  []Line // from the first line of the diff to the end
	Tags  []Tag  // in Text
	Files []File // of the diff

	// Flaws are what reading found that does not hinder it; rule mail-text tells them.
	Flaws []Flaw
	// Long are the lines, as they stand in the file, that have more than 998 bytes.
	Long []int

	log   string // what series.toml says of the changes, of a stored patch
	rule  int    // line of ---; 0 where there is none
	block int    // index in Text at which the last paragraph begins, which has the trailers
	stop  int    // first line of what is below the diff; 0 where there is nothing
}

// A Line is a line of text without its end.
type Line struct {
	No   int // in the file; 1 is the first
	Text string
}

// A Field is a field of a mail's header.
type Field struct {
	Name  string // in small letters
	Value string // unfolded and decoded
	Line  int
}

// A Flaw is something wrong that reading found.
type Flaw struct {
	Line int
	Msg  string
}

// A Person is a name and an address; either may be empty.
type Person struct{ Name, Email string }

func (p Person) String() string {
	if p.Email == "" {
		return p.Name
	}
	if p.Name == "" {
		return "<" + p.Email + ">"
	}
	return p.Name + " <" + p.Email + ">"
}

// same tells whether two are one: their addresses agree, or where one has none, their names.
func (p Person) same(q Person) bool {
	if p.Email != "" && q.Email != "" {
		return strings.EqualFold(p.Email, q.Email)
	}
	return p.Name != "" && strings.EqualFold(p.Name, q.Name)
}

// alike tells whether two share an address or a name.
func (p Person) alike(q Person) bool {
	return p.same(q) || p.Name != "" && strings.EqualFold(p.Name, q.Name)
}

// A Tag is a line such as "Acked-by: ...".
type Tag struct {
	Key    string
	Value  string
	Line   int
	Index  int  // in Message.Text
	Block  bool // it stands in the last paragraph, where git looks for trailers
	Person Person
}

// is compares the key, in which capitals do not count.
func (t Tag) is(keys ...string) bool {
	for _, k := range keys {
		if strings.EqualFold(t.Key, k) {
			return true
		}
	}
	return false
}

// tags returns the tags of some keys.
func (m *Message) tags(keys ...string) []Tag {
	var out []Tag
	for _, t := range m.Tags {
		if t.is(keys...) {
			out = append(out, t)
		}
	}
	return out
}

// field returns the first field of a name, or a zero one.
func (m *Message) field(name string) Field {
	for _, f := range m.Fields {
		if f.Name == name {
			return f
		}
	}
	return Field{}
}

// sent tells whether the message is a mail with recipients, so that From is its sender.
func (m *Message) sent() bool { return m.ID != "" && len(m.To)+len(m.Cc) > 0 }

// paths returns the files that the patch touches, each once.
func (m *Message) paths() []string {
	var out []string
	seen := map[string]bool{}
	for _, f := range m.Files {
		for _, p := range []string{f.Old, f.New} {
			if p != "" && !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	return out
}

// Digest is a hash of all that a reader of the messages gets to see and git am to apply: subjects with their prefixes,
// authors, text, notes and diffs, of the cover letter too. It does not depend on recipients, dates and Message-Ids, nor
// on how a mail was encoded.
func Digest(ms []*Message) string {
	h := sha256.New()
	for _, m := range ms {
		if m.Kind == Other {
			continue
		}
		part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
		part(m.Subject.Full)
		part(m.Author.String())
		for _, lines := range [][]Line{m.Text, m.Notes, m.diffLines()} {
			fmt.Fprintf(h, "%d;", len(lines))
			for _, l := range lines {
				part(l.Text)
			}
		}
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

// diffLines are those of the diff, without the signature and base information below it.
func (m *Message) diffLines() []Line {
	for i, l := range m.Diff {
		if m.stop > 0 && l.No >= m.stop {
			return m.Diff[:i]
		}
	}
	return m.Diff
}
