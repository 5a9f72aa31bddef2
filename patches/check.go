// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"net/mail"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

var (
	archForm   = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	baseForm   = regexp.MustCompile(`^(debian|git|tar|dir):.`)
	configForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*(@[1-9][0-9]{0,3})?$`)
	memoryForm = regexp.MustCompile(`^([0-9]{1,7})(KiB|MiB|GiB)$`)
	progsForm  = regexp.MustCompile(`^[^-@\s[:cntrl:]][^@\s[:cntrl:]]*(@[a-z0-9]+)?$`)
	testForm   = regexp.MustCompile(`^(Test|Benchmark|Example|Fuzz)[^/\s]*(/\S+)?$`)
	symbolForm = regexp.MustCompile(`^[A-Za-z_.$][A-Za-z0-9_.$]*$`)
	changeForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$`)
	idsForm    = regexp.MustCompile(`^[0-9a-f]{40}$`)
	numberForm = regexp.MustCompile(`^[0-9]{4}$`)
)

// check checks the values of a document and makes a Series of them.
func (l Loader) check(d *document, dir string) (*Series, error) {
	r := &d.raw
	s := &Series{
		Dir: dir, ID: r.ID, Title: r.Title, Revision: r.Revision, Prefix: r.Prefix, Base: r.Base, Arches: r.Arches, ChangeID: r.ChangeID, Prerequisites: r.After,
		Config: r.Config, Tests: r.Tests, Benchmarks: r.Benchmarks, Mail: Mail(r.Mail),
		Guest: Guest{CPUs: r.Guest.CPUs, Cmdline: r.Guest.Cmdline, Toolchain: r.Guest.Tools, Programs: r.Guest.Progs, Fresh: r.Guest.Fresh, Modules: r.Guest.Modules, Icount: r.Guest.Icount,
			MultiThread: r.Guest.Multi},
	}
	if _, ok := d.lines["prefix"]; !ok {
		s.Prefix = "PATCH"
	}
	name := filepath.Base(dir)
	if abs, err := filepath.Abs(dir); err == nil {
		name = filepath.Base(abs)
	}
	switch {
	case !idForm.MatchString(s.ID):
		return nil, d.errorf("id", "id %q is not of small letters, digits and hyphens", shorten(s.ID))
	case s.ID != name:
		return nil, d.errorf("id", "id %q is not the folder's name, %q", s.ID, name)
	case s.Revision < 1 || s.Revision > 999:
		return nil, d.errorf("revision", "revision %d: the first posting is 1", s.Revision)
	case !baseForm.MatchString(s.Base):
		return nil, d.errorf("base", `base %q is not of the form debian:PACKAGE, git:REPOSITORY#REVISION, tar:FILE or dir:FOLDER`, shorten(s.Base))
	case d.lines["change-id"] > 0 && !changeForm.MatchString(s.ChangeID):
		return nil, d.errorf("change-id", `change-id %q is not one such as "20260102-some-words-0123456789ab"`, shorten(s.ChangeID))
	case len(s.Arches) == 0:
		return nil, d.errorf("arches", "arches is empty")
	case strings.ContainsAny(s.Prefix, "[]") || strings.TrimSpace(s.Prefix) != s.Prefix || s.Prefix == "":
		return nil, d.errorf("prefix", `prefix %q is not one such as "PATCH net-next" (the brackets, the version and the numbers are added)`, shorten(s.Prefix))
	}
	if err := d.oneLine(map[string]string{"title": s.Title, "prefix": s.Prefix, "base": s.Base}); err != nil {
		return nil, err
	}
	for _, err := range []error{l.checkArches(d, "arches", s.Arches), d.checkLists(s), d.checkMail(s), d.checkGuest(s)} {
		if err != nil {
			return nil, err
		}
	}
	if err := l.checkVariants(d, s); err != nil {
		return nil, err
	}
	if s.Headline = Headline(r.Headline); s.Headline != (Headline{}) {
		if err := d.oneLine(map[string]string{"headline.benchmark": s.Headline.Benchmark, "headline.unit": s.Headline.Unit}); err != nil {
			return nil, err
		}
	}
	for i, e := range r.Expect {
		key := fmt.Sprintf("expect[%d]", i)
		if !testForm.MatchString(e.Test) {
			return nil, d.errorf(key+".test", "%q is not the name of a Go test", shorten(e.Test))
		}
		if strings.TrimSpace(e.Why) == "" {
			return nil, d.errorf(key+".why", "why is empty: say what the patch mends")
		}
		s.Expect = append(s.Expect, Expect(e))
	}
	if err := d.checkSkips(s); err != nil {
		return nil, err
	}
	for i, y := range r.Symbol {
		key := fmt.Sprintf("symbol[%d]", i)
		if !symbolForm.MatchString(y.Name) {
			return nil, d.errorf(key+".name", "%q is not the name of a symbol", shorten(y.Name))
		}
		if err := d.checkOwnArches(s, key, y.Arches); err != nil {
			return nil, err
		}
		if err := d.checkConfigs(s, key+".variants", y.Variants); err != nil {
			return nil, err
		}
		s.Symbols = append(s.Symbols, Symbol(y))
	}
	if err := d.checkSections(s); err != nil {
		return nil, err
	}
	return s, d.checkChanges(s)
}

// checkOwnArches refuses architectures that the series is not for.
func (d *document) checkOwnArches(s *Series, key string, arches []string) error {
	for i, a := range arches {
		if !slices.Contains(s.Arches, a) {
			return d.errorf(fmt.Sprintf("%s.arches[%d]", key, i), "arch %q is not one of the series' arches (%s)", shorten(a), strings.Join(s.Arches, ", "))
		}
	}
	return nil
}

// oneLine refuses values that would break a line of mail or of a report.
func (d *document) oneLine(values map[string]string) error {
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range values {
			if !yield(k) {
				return
			}
		}
	}) {
		v := values[key]
		if strings.TrimSpace(v) == "" || strings.ContainsFunc(v, unicode.IsControl) {
			return d.errorf(key, "%s must be one line of text, is %q", key, shorten(v))
		}
	}
	return nil
}

func (l Loader) checkArches(d *document, key string, arches []string) error {
	for i, a := range arches {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case len(l.Arches) > 0 && !slices.Contains(l.Arches, a):
			if near := nearest(a, l.Arches); len(near) > 0 {
				return d.errorf(at, "unknown arch %q (did you mean %q?)", shorten(a), near[0])
			}
			return d.errorf(at, "unknown arch %q (known are %s)", shorten(a), strings.Join(l.Arches, ", "))
		case !archForm.MatchString(a):
			return d.errorf(at, "%q is not the name of an architecture, such as amd64 or ppc64", shorten(a))
		case slices.Contains(arches[:i], a):
			return d.errorf(at, "arch %q is there twice", a)
		}
	}
	return nil
}

func (d *document) checkLists(s *Series) error {
	for i, c := range s.Config {
		if !configForm.MatchString(c) {
			return d.errorf(fmt.Sprintf("config[%d]", i), "%q is not the name of a fragment in configs/, without .config, nor NAME@N for one from patch N on", shorten(c))
		}
	}
	for i, id := range s.Prerequisites {
		if !idsForm.MatchString(id) {
			return d.errorf(fmt.Sprintf("prerequisites[%d]", i), "%q is not what git patch-id prints: 40 hex digits", shorten(id))
		}
	}
	for key, list := range map[string][]string{"tests": s.Tests, "benchmarks": s.Benchmarks} {
		for i, p := range list {
			if p == "" || strings.HasPrefix(p, "-") || strings.ContainsFunc(p, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
				return d.errorf(fmt.Sprintf("%s[%d]", key, i), "%q is not the path of a Go package", shorten(p))
			}
		}
	}
	return nil
}

func (d *document) checkMail(s *Series) error {
	if _, ok := d.lines["mail"]; ok && len(s.Mail.To) == 0 {
		return d.errorf("mail.to", "mail.to is empty")
	}
	for key, list := range map[string][]string{"mail.to": s.Mail.To, "mail.cc": s.Mail.Cc} {
		for i, a := range list {
			if _, err := mail.ParseAddress(a); err != nil {
				return d.errorf(fmt.Sprintf("%s[%d]", key, i), "%q is no address: %s", shorten(a), strings.TrimPrefix(err.Error(), "mail: "))
			}
		}
	}
	return nil
}

func (d *document) checkGuest(s *Series) error {
	if _, ok := d.lines["guest.cpus"]; ok && (s.Guest.CPUs < 1 || s.Guest.CPUs > 512) {
		return d.errorf("guest.cpus", "guest.cpus is %d, must be 1 to 512", s.Guest.CPUs)
	}
	if _, ok := d.lines["guest.memory"]; ok {
		m := memoryForm.FindStringSubmatch(d.raw.Guest.Memory)
		if m == nil {
			return d.errorf("guest.memory", `guest.memory is %q, must be a size such as "512MiB" or "2GiB"`, shorten(d.raw.Guest.Memory))
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		s.Guest.Memory = n << map[string]int{"KiB": 10, "MiB": 20, "GiB": 30}[m[2]]
		if s.Guest.Memory < 16<<20 || s.Guest.Memory > 1<<40 {
			return d.errorf("guest.memory", "guest.memory is %s, must be 16MiB to 1024GiB", d.raw.Guest.Memory)
		}
	}
	for i, p := range s.Guest.Toolchain {
		if !slices.Contains(s.Tests, p) && !slices.Contains(s.Benchmarks, p) {
			return d.errorf(fmt.Sprintf("guest.toolchain[%d]", i), "%q is none of the packages of tests and benchmarks", shorten(p))
		}
	}
	for i, p := range s.Guest.Programs {
		if !progsForm.MatchString(p) {
			return d.errorf(fmt.Sprintf("guest.programs[%d]", i), "%q is not the path of a Go package, nor PACKAGE@GOARCH", shorten(p))
		}
	}
	for i, w := range s.Guest.Cmdline {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return d.errorf(fmt.Sprintf("guest.cmdline[%d]", i), "%q is not one word of a kernel command line", shorten(w))
		}
	}
	return nil
}

// checkChanges takes the [[changes]]. Patch numbers are checked later, when the patches are known.
func (d *document) checkChanges(s *Series) error {
	for i, c := range d.raw.Changes {
		key := fmt.Sprintf("changes[%d]", i)
		if c.Revision < 1 || c.Revision > s.Revision {
			return d.errorf(key+".revision", "changes of revision %d: the series is at revision %d", c.Revision, s.Revision)
		}
		out := Changes{Revision: c.Revision, Series: c.Series, Patches: map[int][]string{}}
		if len(c.Series) == 0 {
			return d.errorf(key+".series", "series is empty: say what revision %d changed", c.Revision)
		}
		for _, have := range s.Changes {
			if have.Revision == c.Revision {
				return d.errorf(key+".revision", "changes of revision %d are there twice", c.Revision)
			}
		}
		if err := d.checkEntries(key+".series", c.Series); err != nil {
			return err
		}
		for num, notes := range c.Patches {
			if err := d.checkEntries(key+".patches."+num, notes); err != nil {
				return err
			}
			if !numberForm.MatchString(num) {
				return d.errorf(key+".patches."+num, `%q is not a patch's number, such as "0002"`, shorten(num))
			}
			n, _ := strconv.Atoi(num)
			out.Patches[n] = notes
		}
		s.Changes = append(s.Changes, out)
	}
	slices.SortFunc(s.Changes, func(a, b Changes) int { return a.Revision - b.Revision })
	return nil
}

// checkEntries refuses entries of a change log that are no text.
func (d *document) checkEntries(key string, entries []string) error {
	for i, e := range entries {
		if strings.TrimSpace(e) == "" || strings.ContainsFunc(e, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
			return d.errorf(fmt.Sprintf("%s[%d]", key, i), "%q is not text", shorten(e))
		}
	}
	return nil
}

// checkNumbers checks the patch numbers that series.toml names.
func (d *document) checkNumbers(s *Series) error {
	n := len(s.Patches)
	for i, e := range s.Expect {
		if e.Mended < 1 || e.Mended > n {
			return d.errorf(fmt.Sprintf("expect[%d].mended", i), "mended = %d: the series has patches 1 to %d", e.Mended, n)
		}
	}
	for i, k := range s.Skips {
		if _, ok := d.lines[fmt.Sprintf("skip[%d].before", i)]; ok && (k.Before < 1 || k.Before > n) {
			return d.errorf(fmt.Sprintf("skip[%d].before", i), "before = %d: the series has patches 1 to %d", k.Before, n)
		}
	}
	for i, y := range s.Symbols {
		if y.From < 1 || y.From > n {
			return d.errorf(fmt.Sprintf("symbol[%d].from", i), "from = %d: the series has patches 1 to %d", y.From, n)
		}
	}
	for i, sec := range s.Sections {
		if sec.From < 1 || sec.From > n {
			return d.errorf(fmt.Sprintf("section[%d].from", i), "from = %d: the series has patches 1 to %d", sec.From, n)
		}
	}
	for i, c := range d.raw.Changes {
		for num := range c.Patches {
			if k, _ := strconv.Atoi(num); k < 1 || k > n {
				return d.errorf(fmt.Sprintf("changes[%d].patches.%s", i, num), "no patch %s: the series has 0001 to %04d", num, n)
			}
		}
	}
	return nil
}
