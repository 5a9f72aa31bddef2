// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/intake"
	"github.com/seriesrig/series/patches/lint"
	"github.com/seriesrig/series/patches/mail"
	"github.com/seriesrig/series/patches/maintainers"
)

// recipientFlags say who gets the thread besides those whom series.toml names.
type recipientFlags struct {
	Maintainers bool     `negatable:"" default:"true" help:"Send each patch to those whom the base's MAINTAINERS names for it (To: maintainers, Cc: reviewers and lists); --no-maintainers leaves it at series.toml's."`
	Git         string   `type:"existingdir" placeholder:"REPO" help:"Repository in which the authors of commits that the patches fix are looked up, who get those patches (default: that of a git base)."`
	Stable      bool     `help:"Send a patch with a Cc: stable@vger.kernel.org trailer there, too."`
	Answers     []string `placeholder:"MBOX" help:"The thread of an earlier version with the answers to it, as an archive gives it (an mbox, packed by gzip or not, or a maildir): whoever answered gets this version."`
}

// plan finds the recipients, and the base in which they were found; nil where MAINTAINERS is not asked. The base is fetched
// and unpacked where it is not there yet.
func (f recipientFlags) plan(ctx context.Context, a *app, s *patches.Series) (*maintainers.Plan, *kernel.Source, error) {
	var plan *maintainers.Plan
	var source *kernel.Source
	if f.Maintainers {
		var err error
		if source, err = a.source(ctx, a.baseSpec(s), "mail "+s.ID); err != nil {
			return nil, nil, fmt.Errorf("%w (--no-maintainers does without it)", err)
		}
		applied, err := patches.Apply(source, s.Patches)
		if err != nil {
			return nil, nil, err
		}
		if plan, err = f.planIn(ctx, a, s, source, applied); err != nil {
			return nil, nil, err
		}
	}
	plan, err := f.answered(a, s, plan)
	return plan, source, err
}

// answered adds those who answered earlier versions, for all messages: who has read one version wants to see what became of
// it. Robots do not.
func (f recipientFlags) answered(a *app, s *patches.Series, plan *maintainers.Plan) (*maintainers.Plan, error) {
	if plan == nil && len(f.Answers) > 0 {
		plan = &maintainers.Plan{Patches: make([][]maintainers.Recipient, len(s.Patches))}
	}
	for _, path := range f.Answers {
		found, err := intake.Answered(path)
		if err != nil {
			return nil, &coded{exitUsage, err}
		}
		for _, who := range found {
			if lint.Machine(lint.Person{Name: who.From.Name, Email: who.From.Address}) {
				continue
			}
			for n := range s.Patches {
				if err := plan.Add(n+1, who.From, maintainers.Answered, "answered "+who.To); err != nil {
					fmt.Fprintf(a.stderr, "series: %s: somebody who answered is not told: %v\n", path, err)
					break
				}
			}
		}
	}
	return plan, nil
}

// planIn finds the recipients in a tree that the series has been applied to. A tree without MAINTAINERS names nobody.
func (f recipientFlags) planIn(ctx context.Context, a *app, s *patches.Series, source patches.Source, applied *patches.Result) (*maintainers.Plan, error) {
	plan, err := maintainers.Planner{Tree: source, Applied: applied, Stable: f.Stable}.Plan(s.Patches)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(a.stderr, "series: the base has no MAINTAINERS; the thread goes to those whom series.toml names")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, w := range plan.Warnings {
		fmt.Fprintf(a.stderr, "series: %s\n", w)
	}
	return plan, f.blame(ctx, a, s, plan)
}

var fixesCommit = regexp.MustCompile(`^[0-9a-f]{8,40}\b`)

// blame adds the authors of the commits that the patches fix, where there is a repository to find them in.
func (f recipientFlags) blame(ctx context.Context, a *app, s *patches.Series, plan *maintainers.Plan) error {
	spec := s.Base
	if a.cli.Base != "" {
		spec = a.cli.Base
	}
	repo, rev := (&lintCmd{Git: f.Git}).repository(spec)
	if repo == "" {
		return nil
	}
	lookup := &commitLookup{ctx: ctx, repo: repo, rev: rev}
	for i, p := range s.Patches {
		for _, t := range p.Trailers {
			id := fixesCommit.FindString(t.Value)
			if !strings.EqualFold(t.Key, "Fixes") || id == "" {
				continue
			}
			c, err := lookup.Commit(id)
			switch {
			case errors.Is(err, lint.ErrNoCommit):
				fmt.Fprintf(a.stderr, "series: %s:%d: %s has no commit %s, so its author is not told\n", p.File, t.Line, repo, id)
				continue
			case err != nil:
				return err
			}
			if err := plan.Add(i+1, netmail.Address{Name: c.Author.Name, Address: c.Author.Email}, maintainers.Blamed, "author of "+id+", which it fixes"); err != nil {
				fmt.Fprintf(a.stderr, "series: %s:%d: the author of %s is not told: %v\n", p.File, t.Line, id, err)
			}
		}
	}
	return nil
}

// headers returns the To: and the Cc: of each message; nil where only series.toml counts.
func headers(s *patches.Series, plan *maintainers.Plan) ([]mail.Recipients, error) {
	if plan == nil {
		return nil, nil
	}
	to, err := addresses(s.Mail.To)
	if err != nil {
		return nil, err
	}
	cc, err := addresses(s.Mail.Cc)
	if err != nil {
		return nil, err
	}
	var out []mail.Recipients
	for _, found := range append([][]maintainers.Recipient{plan.Cover}, plan.Patches...) {
		var r mail.Recipients
		r.To, r.Cc = maintainers.Headers(to, cc, found)
		out = append(out, r)
	}
	return out, nil
}

func addresses(list []string) ([]netmail.Address, error) {
	var out []netmail.Address
	for _, text := range list {
		a, err := netmail.ParseAddress(text)
		if err != nil {
			return nil, usage("series.toml: %q is no address: %v", text, err)
		}
		out = append(out, *a)
	}
	return out, nil
}

// A reasoned recipient is a line of what --recipients prints.
type reasoned struct {
	Address  string   `json:"address"`
	Header   string   `json:"header"`   // To or Cc
	Messages []int    `json:"messages"` // by number; 0 is the cover letter
	Reasons  []string `json:"reasons"`
}

// reasons lists every recipient with its reasons, in the order in which they come up.
func reasons(s *patches.Series, plan *maintainers.Plan) ([]reasoned, error) {
	all, err := headers(s, plan)
	if err != nil {
		return nil, err
	}
	if all == nil {
		named := mail.Recipients{}
		if named.To, err = addresses(s.Mail.To); err != nil {
			return nil, err
		}
		if named.Cc, err = addresses(s.Mail.Cc); err != nil {
			return nil, err
		}
		all = slices.Repeat([]mail.Recipients{named}, len(s.Patches)+1)
	}
	why := map[string][]string{}
	for _, text := range slices.Concat(s.Mail.To, s.Mail.Cc) {
		if a, err := netmail.ParseAddress(text); err == nil {
			why[strings.ToLower(a.Address)] = []string{"series.toml"}
		}
	}
	if plan != nil {
		for _, r := range plan.Cover {
			key := strings.ToLower(r.Address.Address)
			why[key] = append(why[key], r.Reasons...)
		}
	}
	out := []reasoned{}
	at := map[string]int{}
	for _, header := range []string{"To", "Cc"} {
		for n, r := range all {
			if n == 0 && len(s.Patches) == 1 && s.Cover.Body == "" {
				continue // such a series has no cover letter
			}
			list := r.To
			if header == "Cc" {
				list = r.Cc
			}
			for _, a := range list {
				key := strings.ToLower(a.Address)
				i, ok := at[header+key]
				if !ok {
					i = len(out)
					at[header+key] = i
					out = append(out, reasoned{Address: plainAddress(a), Header: header, Reasons: why[key]})
				}
				out[i].Messages = append(out[i].Messages, n)
			}
		}
	}
	return out, nil
}

// plainAddress is an address as people read it.
func plainAddress(a netmail.Address) string {
	if a.Name == "" {
		return a.Address
	}
	return a.Name + " <" + a.Address + ">"
}

func (a *app) printRecipients(s *patches.Series, plan *maintainers.Plan) error {
	list, err := reasons(s, plan)
	if err != nil {
		return err
	}
	if a.cli.JSON {
		warnings := []maintainers.Warning{}
		if plan != nil {
			warnings = append(warnings, plan.Warnings...)
		}
		return a.printJSON(map[string]any{"recipients": list, "warnings": warnings})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, r := range list {
		which := "all"
		if len(r.Messages) <= len(s.Patches) {
			which = strings.Trim(strings.ReplaceAll(fmt.Sprint(r.Messages), " ", ","), "[]")
		}
		fmt.Fprintf(w, "%s:\t%s\t%s\t%s\n", r.Header, r.Address, which, strings.Join(r.Reasons, "; "))
	}
	return w.Flush()
}
