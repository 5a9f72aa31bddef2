// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/lint"
	"github.com/seriesrig/series/patches/mail"
	"github.com/seriesrig/series/patches/mail/send"
	"github.com/seriesrig/series/patches/mail/sent"
)

// A refusal is a reason not to send a thread, and what --allow calls it.
type refusal struct {
	allow string
	why   string
	lines []string // the particulars
}

// refusals returns why the thread should not be sent, without what --allow names. To oneself anything may be sent.
func (c *sendCmd) refusals(ctx context.Context, a *app, config *send.Config, messages []*send.Message) ([]refusal, error) {
	first := messages[0].From
	for _, m := range messages {
		if !strings.EqualFold(m.From.Address, first.Address) {
			return nil, usage("%s: message %d is from another sender than message 1", c.Mbox, m.Number)
		}
	}
	if c.ToSelf {
		return nil, nil
	}
	if strings.HasSuffix(strings.ToLower(first.Address), ".invalid") {
		return nil, usage("%s: the thread is from %s, which is nobody; `series mail --signoff` makes it yours", c.Mbox, first.Address)
	}
	var all []refusal
	if config.From != nil && !strings.EqualFold(config.From.Address, first.Address) {
		all = append(all, refusal{allow: "sender", why: fmt.Sprintf("it is from %s, and sendemail.from is %s", first.Address, config.From.Address)})
	}
	more, err := c.judged(ctx, a)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(append(all, more...), func(r refusal) bool { return slices.Contains(c.Allow, r.allow) }), nil
}

// judged is what the posting rules and the recorded runs say.
func (c *sendCmd) judged(ctx context.Context, a *app) ([]refusal, error) {
	no := false
	l := &lintCmd{What: []string{c.Mbox}, Checkpatch: &no}
	ms, err := readMails(c.Mbox, a.stdin)
	if err != nil {
		return nil, lintInput(err)
	}
	g := &lintGroup{messages: ms}
	l.recognise(a, g)
	rep, err := l.judge(ctx, a, g, nil)
	if err != nil {
		return nil, lintInput(err)
	}
	signoff := refusal{allow: "no-signoff", why: "a patch has no sign-off, which only you can give: series mail --signoff"}
	rules := refusal{allow: "lint", why: "it breaks posting rules"}
	verdicts := refusal{allow: "verdicts"}
	for _, f := range rep.Findings {
		switch {
		case f.Level != lint.Error:
		case f.Rule == "signoff-missing":
			signoff.lines = append(signoff.lines, f.String())
		case f.Rule == "prefix-runs":
			verdicts.why = "a kernel with these patches fails"
			verdicts.lines = append(verdicts.lines, f.String())
		default:
			rules.lines = append(rules.lines, f.String())
		}
	}
	var all []refusal
	for _, r := range []refusal{signoff, rules} {
		if len(r.lines) > 0 {
			all = append(all, r)
		}
	}
	if verdicts.why == "" {
		if verdicts.why, err = noVerdict(a, g); err != nil {
			return nil, err
		}
	}
	if verdicts.why != "" {
		all = append(all, verdicts)
	}
	version, err := c.version(ctx, a, g)
	return append(all, version...), err
}

// version is what the versions that went out say against a thread of series mail: that it went out already, or that its change
// log is not that of its patches. A stored series has the change log, where the thread is one's.
func (c *sendCmd) version(ctx context.Context, a *app, g *lintGroup) ([]refusal, error) {
	f, err := os.Open(c.Mbox)
	if err != nil {
		return nil, &coded{exitUsage, err}
	}
	defer f.Close()
	ms, err := mail.Parse(f)
	if err != nil {
		return nil, &coded{exitUsage, fmt.Errorf("%s: %w", c.Mbox, err)}
	}
	id, revision, ok := mail.SeriesOf(ms[0].ID)
	if !ok {
		return nil, nil
	}
	store, err := a.versions(ctx, "")
	if err != nil {
		return nil, err
	}
	thread := &mail.Thread{Messages: ms}
	if old, err := store.Get(id, revision); err == nil {
		if old.Again(thread) {
			return nil, nil
		}
		why := fmt.Sprintf("%s v%d went out before, with other messages; raise the revision", id, revision)
		if old.Same(thread) {
			why = fmt.Sprintf("%s v%d went out on %s, by the tag in %s", id, revision, old.When.Format(time.DateOnly), store.GitDir)
		}
		return []refusal{{allow: "sent", why: why}}, nil
	} else if !errors.Is(err, sent.ErrNotSent) {
		return nil, err
	}
	if g.series == nil {
		return nil, nil
	}
	var unfit *patches.InputError
	switch err := (versionFlags{Revision: revision}).prepare(ctx, a, &mail.Options{Series: g.series}); {
	case errors.As(err, &unfit):
		return []refusal{{allow: "changes", why: unfit.Error()}}, nil
	default:
		return nil, err
	}
}

// noVerdict says why nothing is known of the kernel with exactly these patches; "" where it is known to be good.
func noVerdict(a *app, g *lintGroup) (string, error) {
	if g.series == nil {
		return "its patches are not those of a series here, so no recorded run is of them", nil
	}
	runs, err := recordedRuns(a, g.series)
	if err != nil {
		return "", err
	}
	if runs == nil {
		return fmt.Sprintf("there is no recorded run of exactly these patches; `series run %s` makes one", g.series.ID), nil
	}
	for _, r := range runs.Prefix(len(g.series.Patches)) {
		if !r.Done || !r.Pass {
			return fmt.Sprintf("there is no passing run of the whole series on %s; `series run %s` makes one", r.Arch, g.series.ID), nil
		}
	}
	return "", nil
}
