// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Threads sorts messages into postings. Mails that reply to each other are one; so are all others that are numbered, as
// they come from a folder of files. Where such a lot has a number twice in different versions, as a discussion that was
// saved whole has, each version is a posting of its own. Patches without a number stand alone.
func Threads(ms []*Message) []*Thread {
	root := roots(ms)
	type key struct {
		root    string
		version int
		resend  bool
	}
	byRoot := map[string][]*Message{}
	for _, m := range ms {
		byRoot[root[m]] = append(byRoot[root[m]], m)
	}
	several := map[string]bool{}
	for r, lot := range byRoot {
		several[r] = severalVersions(lot)
	}
	var order []key
	lots := map[key][]*Message{}
	for _, m := range ms {
		if m.Kind == Other {
			continue
		}
		k := key{root: root[m]}
		if several[k.root] {
			k.version, k.resend = m.Subject.Version, m.Subject.Resend
		}
		if lots[k] == nil {
			order = append(order, k)
		}
		lots[k] = append(lots[k], m)
	}
	var out []*Thread
	for _, k := range order {
		t := newThread(lots[k], len(ms))
		out = append(out, t)
	}
	return out
}

// roots finds for each message a name of the lot that it belongs to.
func roots(ms []*Message) map[*Message]string {
	parent := map[string]string{}
	find := func(s string) string {
		for parent[s] != "" {
			if next := parent[parent[s]]; next != "" {
				parent[s] = next // half the way for the next one
			}
			s = parent[s]
		}
		return s
	}
	inFile := map[string]int{}
	for _, m := range ms {
		inFile[m.File]++
	}
	// Every mail has a name of its own, and those that it replies to are of its lot. Files are of one lot where they are
	// in one folder.
	name := func(i int, m *Message) string {
		switch {
		case m.ID != "":
			return "<" + m.ID + ">"
		case !m.Subject.Numbered() && !m.Stored:
			return fmt.Sprint("alone ", i)
		case inFile[m.File] > 1:
			return "in " + m.File
		}
		return "beside " + filepath.Dir(m.File)
	}
	for i, m := range ms {
		for _, p := range m.Parents {
			if a, b := find(name(i, m)), find("<"+p+">"); a != b {
				parent[a] = b
			}
		}
	}
	// Numbered mails that reply to nothing, as after git send-email --no-thread, are one lot by their total and version.
	lone := map[[2]int]string{}
	out := map[*Message]string{}
	for i, m := range ms {
		n := name(i, m)
		if m.ID != "" && len(m.Parents) == 0 && m.Kind != Other && m.Subject.Numbered() {
			k := [2]int{m.Subject.M, m.Subject.Version}
			if first, ok := lone[k]; ok {
				if a, b := find(n), find(first); a != b {
					parent[a] = b
				}
			} else {
				lone[k] = n
			}
		}
	}
	for i, m := range ms {
		out[m] = find(name(i, m))
	}
	return out
}

// severalVersions tells whether a number is there twice in different versions.
func severalVersions(ms []*Message) bool {
	type version struct {
		v      int
		resend bool
	}
	seen := map[int]version{}
	for _, m := range ms {
		if m.Kind == Other {
			continue
		}
		v := version{m.Subject.Version, m.Subject.Resend}
		if have, ok := seen[m.Subject.N]; ok && have != v {
			return true
		}
		seen[m.Subject.N] = v
	}
	return false
}

func newThread(ms []*Message, given int) *Thread {
	t := &Thread{Messages: ms}
	for _, m := range ms {
		if m.Kind == Cover && t.Cover == nil {
			t.Cover = m
		} else if m.Kind == Patch {
			t.Patches = append(t.Patches, m)
		}
	}
	slices.SortStableFunc(t.Patches, func(a, b *Message) int { return a.Subject.N - b.Subject.N })
	t.Partial = given == 1 && ms[0].Subject.M > 1
	return t
}
