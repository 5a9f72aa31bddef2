// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
	"github.com/seriesrig/series/patches/mail/sent"
	"github.com/seriesrig/series/results"
)

// versionFlags are about the version of a thread, and the ones before it.
type versionFlags struct {
	Revision   int    `short:"v" placeholder:"N" help:"The n of [PATCH vn] (default: the revision of series.toml)."`
	RangeDiff  string `placeholder:"vN" help:"Put the range-diff against that version, which was sent, into the cover letter."`
	BaseCommit string `placeholder:"REV" help:"A commit that others have too: it becomes the base-commit, and the patches between it and the git base of the series its prerequisites."`
	Sent       bool   `help:"Write nothing: record the mbox that was written before (-o) as sent, where another program than series send did it."`
	Resend     bool   `help:"Write the version that went out once more, unmodified, as [RESEND PATCH]: for when nobody answered it."`
	Versions   string `placeholder:"DIR" help:"Git repository that keeps what was sent, as tags ID/vN (default: the one that the patches folder is in, else one in the work folder)."`
}

// versions is where the versions that went out are kept.
func (a *app) versions(ctx context.Context, asked string) (sent.Store, error) {
	work, err := a.work()
	if err != nil {
		return sent.Store{}, err
	}
	folder := a.cli.Patches
	if asked != "" {
		folder = asked
		if fi, err := os.Stat(asked); err != nil || !fi.IsDir() {
			return sent.Store{}, usage("--versions: %s: no such folder", asked)
		}
	}
	store := sent.Find(ctx, folder, filepath.Join(work, "sent.git"))
	if asked != "" && store.GitDir == filepath.Join(work, "sent.git") {
		return store, usage("--versions: %s is not a git repository", asked)
	}
	return store, nil
}

// sentTag is what mail --sent --json prints.
type sentTag struct {
	Tag  string `json:"tag"`
	Repo string `json:"repo"`
}

// recordSent keeps an mbox that went out, as a version of the series id; "" leaves that to its Message-Ids.
func (a *app) recordSent(ctx context.Context, id, versions string, mbox []byte) (sentTag, error) {
	store, err := a.versions(ctx, versions)
	if err != nil {
		return sentTag{}, err
	}
	who := mail.DefaultSender
	if ms, err := mail.Parse(bytes.NewReader(mbox)); err == nil {
		who = ms[0].From
	}
	tag, err := store.Record(id, mbox, who, time.Now())
	if err != nil {
		return sentTag{}, &coded{exitUsage, err}
	}
	fmt.Fprintf(a.stderr, "series: recorded as tag %s in %s\n", tag, store.GitDir)
	return sentTag{tag, store.GitDir}, nil
}

// resend is the thread of a version that went out, to go out once more.
func (f versionFlags) resend(ctx context.Context, a *app, s *patches.Series) (*mail.Thread, error) {
	store, err := a.versions(ctx, f.Versions)
	if err != nil {
		return nil, err
	}
	old, err := store.Get(s.ID, cmp.Or(f.Revision, s.Revision))
	if errors.Is(err, sent.ErrNotSent) {
		return nil, usage("--resend: %v", err)
	}
	if err != nil {
		return nil, err
	}
	thread, err := mail.Resend(old.Thread)
	if err != nil {
		return nil, &coded{exitUsage, err}
	}
	return thread, nil
}

// prepare fills in what the versions before have to say, and refuses a change log that is not that of the patches.
func (f versionFlags) prepare(ctx context.Context, a *app, o *mail.Options) error {
	s := o.Series
	if f.Revision < 0 || f.Revision > 999 {
		return usage("-v %d: the first version is 1", f.Revision)
	}
	if o.Revision = f.Revision; o.Revision == 0 {
		o.Revision = s.Revision
	}
	if err := f.base(ctx, a, o); err != nil {
		return err
	}
	store, err := a.versions(ctx, f.Versions)
	if err != nil {
		return err
	}
	all, err := store.List(s.ID)
	if err != nil {
		return err
	}
	earlier := slices.DeleteFunc(all, func(n int) bool { return n >= o.Revision })
	if len(earlier) > 0 {
		if err := f.checkChanges(ctx, store, o, earlier[len(earlier)-1]); err != nil {
			return err
		}
	}
	if f.RangeDiff == "" {
		return nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(f.RangeDiff, "v"))
	if err != nil {
		return usage("--range-diff %s: name a version, such as v1", f.RangeDiff)
	}
	old, err := store.Get(s.ID, n)
	if err != nil {
		return &coded{exitUsage, err}
	}
	o.RangeDiffOf = n
	before, after := sameNobody(o, old)
	o.RangeDiff, _, err = sent.RangeDiff(ctx, before, after)
	return err
}

// sameNobody returns the patches of a version that went out and those of the series, for a comparison. Stored patches are
// nobody's, and whoever posts them becomes their author, which is no change of a patch.
func sameNobody(o *mail.Options, old *sent.Version) (before, after []*patches.Patch) {
	who := o.From
	if who == (netmail.Address{}) {
		who = old.Thread.Messages[0].From
	}
	return adoptPatches(old.Patches, who), adoptPatches(o.Series.Patches, who)
}

func (f versionFlags) checkChanges(ctx context.Context, store sent.Store, o *mail.Options, last int) error {
	old, err := store.Get(o.Series.ID, last)
	if err != nil {
		return err
	}
	if o.Previous == "" {
		o.Previous = old.Thread.Messages[0].ID
	}
	before, after := sameNobody(o, old)
	_, pairs, err := sent.RangeDiff(ctx, before, after)
	if err != nil {
		return err
	}
	return sent.CheckChanges(o.Series, o.Revision, last, pairs)
}

// base makes a commit that others have the base, and names the patches that stand on it already.
func (f versionFlags) base(ctx context.Context, a *app, o *mail.Options) error {
	if f.BaseCommit == "" {
		return nil
	}
	spec := o.Series.Base
	if a.cli.Base != "" {
		spec = a.cli.Base
	}
	base, err := kernel.ParseBase(spec)
	if err != nil {
		return err
	}
	if base.Kind != kernel.Git || base.Remote() {
		return usage("--base-commit: the base %s is no local git repository", spec)
	}
	commit, ids, err := patches.Prerequisites(ctx, patches.Commit{Repo: base.Name, Rev: base.Rev}, f.BaseCommit)
	if err != nil {
		return &coded{exitUsage, err}
	}
	s := *o.Series
	s.Prerequisites = ids
	o.Series, o.Base.Commit = &s, commit
	return nil
}

// sentOtherwise refuses a thread whose version went out with other messages.
func (f versionFlags) sentOtherwise(ctx context.Context, a *app, o *mail.Options, t *mail.Thread) error {
	store, err := a.versions(ctx, f.Versions)
	if err != nil {
		return err
	}
	old, err := store.Get(o.Series.ID, o.Revision)
	if errors.Is(err, sent.ErrNotSent) {
		return nil
	}
	if err != nil {
		return err
	}
	if !old.Same(t) {
		return usage("%s v%d: %v", o.Series.ID, o.Revision, sent.ErrSentOtherwise)
	}
	return nil
}

// readBase reads a file of the base, which is opened when the first one is asked for; a diffstat seldom asks. source is the
// base where it is open already, or nil.
func (a *app) readBase(ctx context.Context, s *patches.Series, source *kernel.Source) func(path string) ([]byte, error) {
	open := sync.OnceValues(func() (patches.Source, error) {
		if source != nil {
			return source, nil
		}
		base, err := kernel.ParseBase(a.baseSpec(s))
		if err != nil {
			return nil, err
		}
		if base.Kind == kernel.Git && !base.Remote() { // read out of its repository, without unpacking it
			return patches.GitSource(ctx, patches.Commit{Repo: base.Name, Rev: base.Rev}, s.Patches)
		}
		return a.source(ctx, a.baseSpec(s), "mail "+s.ID)
	})
	return func(path string) ([]byte, error) {
		source, err := open()
		if err != nil {
			return nil, err
		}
		f, err := source.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return f.Data, nil
	}
}

// statedBase is what a thread without a record says that it is on: a commit where the base is one, else the source with its
// version. source is the base where it is open already, or nil.
func (a *app) statedBase(ctx context.Context, s *patches.Series, source *kernel.Source) (results.Base, error) {
	spec := a.baseSpec(s)
	store, base, err := a.baseStore(spec)
	if err != nil {
		return results.Base{}, err
	}
	if source == nil {
		source, _ = store.AtHand(ctx, base)
	}
	out := results.Base{Spec: spec}
	if source != nil {
		out = results.Base{Spec: source.Spec, Version: cmp.Or(source.Package, source.Version), Hash: source.Hash, Commit: source.Commit}
	}
	if base.Kind == kernel.Git && !base.Remote() {
		// The source is known by its tree, which other commits may have, too.
		if out.Commit, err = (patches.Commit{Repo: base.Name, Rev: base.Rev}).Resolve(ctx); err != nil {
			return out, &coded{exitUsage, err}
		}
	}
	return out, nil
}
