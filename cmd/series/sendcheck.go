// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seriesrig/series/patches/lint"
	"github.com/seriesrig/series/patches/mail/send"
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
	return all, nil
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
