// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is shown of a long log: its beginning, and more of its end, where the reason of what went wrong is.
const (
	logHead = 16 << 10
	logTail = 48 << 10
)

// A logText is a log as the page shows it.
type logText struct {
	Title string
	Cell  string // the kernel's architecture and configuration
	Path  string
	Size  int64  // bytes of the whole log
	Head  string // all of it, where Left is 0
	Left  int64  // bytes that are not shown, between Head and Tail
	Tail  string
	Gone  string // why there is nothing to show
	Bad   bool   // of a kernel with a finding
}

// A logGroup is logs of kernels of one architecture and configuration; those without a title stand by themselves.
type logGroup struct {
	Title string
	Logs  []logText
}

// fewLogs are so many that they need no order.
const fewLogs = 9

// grouped folds many logs, but for those of kernels with a finding.
func grouped(logs []logText) []logGroup {
	var groups []logGroup
	for _, l := range logs {
		title := l.Cell
		if l.Bad || len(logs) <= fewLogs {
			title = ""
		}
		i := slices.IndexFunc(groups, func(g logGroup) bool { return g.Title == title })
		if i < 0 {
			i = len(groups)
			groups = append(groups, logGroup{Title: title})
		}
		groups[i].Logs = append(groups[i].Logs, l)
	}
	slices.SortStableFunc(groups, func(a, b logGroup) int { // what is not folded comes first
		return cmp.Compare(min(len(a.Title), 1), min(len(b.Title), 1))
	})
	return groups
}

// readLog reads what is shown of a log. One that cannot be read is shown as such: the record outlives the work folder.
func (o Options) readLog(title, path string) logText {
	l := logText{Title: title, Path: path}
	name, ok := strings.CutPrefix(path, "$WORK/")
	if !ok && o.Work != "" {
		name, ok = strings.CutPrefix(path, strings.TrimSuffix(o.Work, "/")+"/")
	}
	if !ok || o.Work == "" {
		l.Gone = "not below the work folder, and not read"
		return l
	}
	root, err := os.OpenRoot(o.Work)
	if err != nil {
		l.Gone = "not there any more"
		return l
	}
	defer root.Close()
	info, err := root.Stat(name) // first, since to open a pipe would wait
	switch {
	case os.IsNotExist(err):
		l.Gone = "not there any more"
	case err != nil:
		l.Gone = "not readable"
	case !info.Mode().IsRegular():
		l.Gone = "no file"
	}
	if l.Gone != "" {
		return l
	}
	f, err := root.Open(name)
	if err != nil {
		l.Gone = "not readable"
		return l
	}
	defer f.Close()
	l.Size = info.Size()
	read := func(from, n int64) string {
		b, err := io.ReadAll(io.NewSectionReader(f, from, n))
		if err != nil {
			return fmt.Sprintf("(%d bytes cannot be read)", n)
		}
		return string(b)
	}
	if l.Size <= logHead+logTail {
		l.Head = read(0, l.Size)
		return l
	}
	head, tail := read(0, logHead), read(l.Size-logTail, logTail)
	// Whole lines, if there are any.
	if i := strings.LastIndexByte(head, '\n'); i >= 0 {
		head = head[:i+1]
	}
	if i := strings.IndexByte(tail, '\n'); i >= 0 && i < len(tail)-1 {
		tail = tail[i+1:]
	}
	l.Left = l.Size - int64(len(head)) - int64(len(tail))
	l.Head, l.Tail = head, tail
	return l
}

// printable replaces what no page may hold: a guest writes to its console whatever it likes.
func printable(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < 0x20:
			return 0x2400 + r // the sign for it
		case r == utf8.RuneError, r == 0x7f, unicode.Is(unicode.Cc, r), unicode.Is(unicode.Cf, r), r == 0xfffe, r == 0xffff:
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}
