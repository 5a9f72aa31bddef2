// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
	"github.com/seriesrig/series/results"
)

// mailCmd writes the thread of a series.
type mailCmd struct {
	ID       string   `arg:"" help:"The series."`
	Output   string   `short:"o" placeholder:"MBOX" help:"Where it goes; - is standard output (default: beside the record in the work folder)."`
	Results  []string `type:"existingfile" placeholder:"JSON" help:"Records that the tables come from, each from the one that has most of it (default: all passing ones of exactly these patches, on one base)."`
	Signoff  bool     `help:"Add your own Signed-off-by, with the name and address of git's configuration, and send as you."`
	Unfilled bool     `help:"Write (not measured) where there is no figure for a table, instead of refusing."`
	Previous string   `placeholder:"URL" help:"The thread of the revision before."`
	recipientFlags
	versionFlags
	Recipients bool `help:"Print who gets which message and why, and write nothing."`
}

func (c *mailCmd) Run(ctx context.Context, a *app) error {
	s, err := a.load(c.ID)
	if err != nil {
		return err
	}
	if c.Sent {
		path, err := c.path(a, s)
		if err != nil {
			return err
		}
		mbox, err := os.ReadFile(path)
		if err != nil {
			return usage("--sent: %v; it is recorded as it was written, so write it first", err)
		}
		tag, err := a.recordSent(ctx, s.ID, c.Versions, mbox)
		if err != nil || !a.cli.JSON {
			return err
		}
		return a.printJSON(map[string]any{"sent": tag})
	}
	if c.Resend {
		thread, err := c.resend(ctx, a, s)
		if err != nil {
			return err
		}
		return c.write(a, s, thread)
	}
	plan, source, err := c.plan(ctx, a, s)
	if err != nil {
		return err
	}
	if c.Recipients {
		return a.printRecipients(s, plan)
	}
	o := mail.Options{Series: s, AllowMissing: c.Unfilled, Previous: c.Previous, ReadBase: a.readBase(ctx, s, source)}
	switch {
	case len(c.Results) > 0:
		for _, name := range c.Results {
			r, err := results.Load(name)
			if err != nil {
				return &coded{exitUsage, err}
			}
			o.More = append(o.More, r)
		}
		o.Run, o.More = o.More[0], o.More[1:]
	default:
		if err := fromRecords(&o, a); err != nil {
			return err
		}
		if o.Run == nil && !c.Unfilled && len(s.Cover.Tables) > 0 {
			return usage("%s: no recorded run of exactly these patches; run `series run %s` first, name a record with --results, or leave the tables empty with --unfilled", s.ID, s.ID)
		}
	}
	if o.Run == nil {
		if o.Base, err = a.statedBase(ctx, s, source); err != nil {
			return err
		}
	}
	if c.Signoff {
		who, err := gitIdentity(ctx)
		if err != nil {
			return err
		}
		o.From, o.Signoff = who, &who
		o.Series = adopt(s, who)
	}
	if o.Recipients, err = headers(s, plan); err != nil {
		return err
	}
	if err := c.prepare(ctx, a, &o); err != nil {
		return err
	}
	if o.Revision > 1 && len(c.Answers) == 0 && !a.cli.Quiet {
		fmt.Fprintf(a.stderr, "series: v%d is not for those who answered v%d, unless --answers names that thread\n", o.Revision, o.Revision-1)
	}
	thread, err := mail.Render(o)
	if err != nil {
		return &coded{exitUsage, err}
	}
	if err := c.sentOtherwise(ctx, a, &o, thread); err != nil {
		return err
	}
	return c.write(a, s, thread)
}

// write writes the thread to where it goes.
func (c *mailCmd) write(a *app, s *patches.Series, thread *mail.Thread) error {
	if c.Output == "-" {
		_, err := thread.WriteTo(a.stdout)
		return err
	}
	path, err := c.path(a, s)
	if err != nil {
		return err
	}
	if err := writeMbox(path, thread); err != nil {
		return err
	}
	if a.cli.JSON {
		return a.printJSON(map[string]any{"mail": results.Mail{Path: path, Messages: len(thread.Messages)}})
	}
	fmt.Fprintf(a.stdout, "%s\n", path)
	return nil
}

// adopt makes the person who signs off the author of those patches that have none: stored patches are nobody's.
func adopt(s *patches.Series, who netmail.Address) *patches.Series {
	mine := *s
	mine.Patches = adoptPatches(s.Patches, who)
	return &mine
}

func adoptPatches(ps []*patches.Patch, who netmail.Address) []*patches.Patch {
	ps = slices.Clone(ps)
	for i, p := range ps {
		if p.Author.Email == mail.DefaultSender.Address {
			q := *p
			q.Author = patches.Person{Name: who.Name, Email: who.Address}
			ps[i] = &q
		}
	}
	return ps
}

// path is where the thread goes.
func (c *mailCmd) path(a *app, s *patches.Series) (string, error) {
	if c.Output != "" {
		return c.Output, nil
	}
	revision := c.Revision
	if revision == 0 {
		revision = s.Revision
	}
	work, err := a.work()
	suffix := ""
	if c.Resend {
		suffix = "-resend"
	}
	return filepath.Join(work, "runs", s.ID, fmt.Sprintf("v%d%s.mbox", revision, suffix)), err
}

// fromRecords gives the thread the passing records that are of exactly the series' patches and on the base of the newest of
// them, newest first. Those of the work folder and those that are published count alike.
func fromRecords(o *mail.Options, a *app) error {
	names, err := a.records(o.Series.ID)
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(names) {
		r, err := results.Load(name)
		if err != nil {
			a.log.Warn("record passed over", "error", err)
			continue
		}
		switch {
		case r.Verdict != results.Pass || mail.OfPatches(r, o.Series) != nil:
		case o.Run == nil:
			o.Run = r
		case r.Base.Hash == o.Run.Base.Hash:
			o.More = append(o.More, r)
		}
	}
	return nil
}

// writeThread renders the thread from a run's own record.
func (s *session) writeThread(ctx context.Context, r *results.Run, output string) error {
	st := s.show.stage("mail", len(s.series.Patches)+1)
	plan, err := recipientFlags{Maintainers: true}.planIn(ctx, s.app, s.series, s.source, s.applied)
	if err != nil {
		st.abort()
		return err
	}
	recipients, err := headers(s.series, plan)
	if err != nil {
		st.abort()
		return err
	}
	o := mail.Options{Series: s.series, Run: r, Recipients: recipients, ReadBase: s.app.readBase(ctx, s.series, s.source)}
	// A thread to be looked at while the series is worked on need not be fit to be sent; what sends it asks again.
	var unfit *patches.InputError
	if err := (versionFlags{}).prepare(ctx, s.app, &o); errors.As(err, &unfit) {
		s.show.note("the thread is not yet one to be sent: %v", err)
	} else if err != nil {
		st.abort()
		return err
	}
	thread, err := mail.Render(o)
	if err != nil {
		st.abort()
		return &coded{exitUsage, err}
	}
	if output == "" {
		output = filepath.Join(s.store.Dir, "runs", s.series.ID, results.Name(r)+".mbox")
	}
	if err := writeMbox(output, thread); err != nil {
		st.abort()
		return err
	}
	r.Mail = &results.Mail{Path: output, Messages: len(thread.Messages)}
	st.end("%d messages", len(thread.Messages))
	return nil
}

// writeMbox writes the file whole or not at all.
func writeMbox(path string, t *mail.Thread) error {
	var b bytes.Buffer
	if _, err := t.WriteTo(&b); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return usage("%s: no such folder", dir)
	}
	tmp, err := os.CreateTemp(dir, ".mbox-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // in vain once it has been renamed
	_, err = tmp.Write(b.Bytes())
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// gitIdentity is the user's own name and address, from git's configuration.
func gitIdentity(ctx context.Context) (netmail.Address, error) {
	get := func(key string) (string, error) {
		b, err := run.Cmd{Name: "git", Args: []string{"config", "--get", key}}.Output(ctx)
		v := strings.TrimSpace(string(b))
		if err != nil || v == "" {
			return "", usage("--signoff: git has no %s; set it with `git config --global %s …`", key, key)
		}
		return v, nil
	}
	name, err := get("user.name")
	if err != nil {
		return netmail.Address{}, err
	}
	email, err := get("user.email")
	return netmail.Address{Name: name, Address: email}, err
}
