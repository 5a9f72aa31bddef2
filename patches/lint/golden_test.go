// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/seriesrig/series/patches/lint"
)

var update = flag.Bool("update", false, "write the findings of the examples into testdata")

// TestRules judges the examples of each rule: testdata/ID.txtar has mails pass….mbox, in which the rule must find
// nothing, and fail….mbox, in which it must find something; "want" is all that it says. Its other files are opts, which
// stands for what is at hand besides the mails (see parseOptions), and previous.mbox, the posting before.
func TestRules(t *testing.T) {
	for _, r := range lint.Rules {
		t.Run(r.ID, func(t *testing.T) {
			path := filepath.Join("testdata", r.ID+".txtar")
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatalf("rule %s has no examples: %v", r.ID, err)
			}
			in := parseOptions(t, ar)
			var got bytes.Buffer
			pass, fail := 0, 0
			for _, f := range ar.Files {
				good := strings.HasPrefix(f.Name, "pass")
				if !good && !strings.HasPrefix(f.Name, "fail") {
					continue
				}
				ms, err := lint.Read(f.Name, bytes.NewReader(f.Data))
				if err != nil {
					t.Fatal(err)
				}
				in.Messages = ms
				rep, err := lint.Check(in)
				if err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
				n := 0
				for _, found := range rep.Findings {
					if found.Rule == r.ID {
						n++
						fmt.Fprintln(&got, found)
					}
				}
				switch {
				case good:
					pass++
					if n > 0 {
						t.Errorf("%s: %d findings of %s, want none:\n%s", f.Name, n, r.ID, got.String())
					}
				default:
					fail++
					if n == 0 {
						t.Errorf("%s: no finding of %s; all are %v; not judged: %v", f.Name, r.ID, rep.Findings, rep.NotJudged)
					}
				}
			}
			if pass == 0 || fail == 0 {
				t.Errorf("%s: %d examples that pass and %d that fail, want at least one of each", path, pass, fail)
			}
			compare(t, path, ar, got.Bytes())
		})
	}
}

// compare compares with the file want, or writes it.
func compare(t *testing.T, path string, ar *txtar.Archive, got []byte) {
	t.Helper()
	for i, f := range ar.Files {
		if f.Name != "want" {
			continue
		}
		if !*update {
			if d := cmp.Diff(string(f.Data), string(got)); d != "" {
				t.Errorf("%s (-want +got):\n%s", path, d)
			}
			return
		}
		ar.Files[i].Data = got
		write(t, path, ar)
		return
	}
	if !*update {
		t.Errorf("%s has no file want; run the test with -update and read what it says", path)
		return
	}
	ar.Files = append(ar.Files, txtar.File{Name: "want", Data: got})
	write(t, path, ar)
}

func write(t *testing.T, path string, ar *txtar.Archive) {
	t.Helper()
	if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestNoStrayExamples finds examples of rules that are no more.
func TestNoStrayExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if id := strings.TrimSuffix(filepath.Base(f), ".txtar"); lint.FindRule(id) == nil {
			t.Errorf("%s: there is no rule %s", f, id)
		}
	}
}

// A stand is what stands for repository, records and MAINTAINERS in the examples.
type stand struct {
	commits    []lint.Commit
	runs       map[int][]lint.Run
	recipients map[string][]lint.Recipient // by the beginning of a path
	covered    []string
}

// parseOptions reads the file opts. Its lines are
//
//	profile NAME
//	commit ID ancestor|stray PERSON | TITLE
//	run N ARCH pass|fail|none DETAIL
//	recipient PATH PERSON | REASON
//	covered PATH
func parseOptions(t *testing.T, ar *txtar.Archive) lint.Input {
	t.Helper()
	in := lint.Input{}
	s := &stand{runs: map[int][]lint.Run{}, recipients: map[string][]lint.Recipient{}}
	for _, f := range ar.Files {
		switch f.Name {
		case "previous.mbox":
			ms, err := lint.Read(f.Name, bytes.NewReader(f.Data))
			if err != nil {
				t.Fatal(err)
			}
			in.Previous = ms
		case "opts":
			for line := range strings.Lines(string(f.Data)) {
				word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
				left, right, _ := strings.Cut(rest, " | ")
				w := strings.SplitN(left, " ", 3)
				switch word {
				case "profile":
					in.Profile = rest
				case "commit":
					in.Commits = s
					s.commits = append(s.commits, lint.Commit{ID: w[0], Ancestor: w[1] == "ancestor", Author: who(w[2]), Subject: right})
				case "run":
					in.Runs = s
					n, err := strconv.Atoi(w[0])
					if err != nil {
						t.Fatal(err)
					}
					verdict, detail, _ := strings.Cut(w[2], " ")
					s.runs[n] = append(s.runs[n], lint.Run{Arch: w[1], Done: verdict != "none", Pass: verdict == "pass", Detail: detail, Source: "record.json"})
				case "recipient":
					in.Maintainers = s
					path, person, _ := strings.Cut(left, " ")
					s.recipients[path] = append(s.recipients[path], lint.Recipient{Person: who(person), Reason: right})
				case "covered":
					in.Maintainers = s
					s.covered = append(s.covered, rest)
				default:
					t.Fatalf("opts: unknown line %q", line)
				}
			}
		}
	}
	return in
}

func who(s string) lint.Person {
	name, mail, ok := strings.Cut(s, " <")
	if !ok {
		return lint.Person{Email: s}
	}
	return lint.Person{Name: name, Email: strings.TrimSuffix(mail, ">")}
}

func (s *stand) Commit(id string) (*lint.Commit, error) {
	for _, c := range s.commits {
		if strings.HasPrefix(c.ID, id) {
			return &c, nil
		}
	}
	return nil, lint.ErrNoCommit
}

func (s *stand) Prefix(n int) []lint.Run { return s.runs[n] }

func (s *stand) Sections(string) []lint.Section { return nil }

func (s *stand) Recipients(paths []string) []lint.Recipient {
	var out []lint.Recipient
	for prefix, rs := range s.recipients {
		for _, p := range paths {
			if strings.HasPrefix(p, prefix) {
				out = append(out, rs...)
				break
			}
		}
	}
	return out
}

func (s *stand) Covered(path string) bool {
	for _, c := range s.covered {
		if strings.HasPrefix(path, c) {
			return true
		}
	}
	return false
}

// docs/lint.md lists every rule as it is, and no other.
func TestRulesInDocs(t *testing.T) {
	data, err := os.ReadFile("../../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for _, r := range lint.Rules {
		where := "all"
		if len(r.Profiles) > 0 {
			where = strings.Join(r.Profiles, ", ")
		}
		fmt.Fprintf(&want, "| %d | `%s` | %s | %s | %s |\n", r.Note, r.ID, r.Level, where, r.Title)
	}
	_, got, _ := strings.Cut(string(data), "|---|---|---|---|---|\n")
	if d := cmp.Diff(want.String(), got); d != "" {
		t.Errorf("the table of docs/lint.md (-want +got):\n%s", d)
	}
}
