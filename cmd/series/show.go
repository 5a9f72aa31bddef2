// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// showCmd prints what a series is, or what is wrong with it.
type showCmd struct {
	ID string `arg:"" help:"The series."`
}

func (c *showCmd) Run(a *app) error {
	s, err := a.load(c.ID)
	if err != nil {
		return err
	}
	if a.cli.JSON {
		return a.printJSON(s)
	}
	w := a.stdout
	fmt.Fprintf(w, "%s: %s\n", s.ID, s.Title)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-11s %s\n", name, value)
		}
	}
	row("revision", fmt.Sprint(s.Revision))
	row("change-id", s.ChangeID)
	row("base", s.Base)
	row("arches", strings.Join(s.Arches, ", "))
	row("config", strings.Join(s.Config, ", "))
	row("tests", strings.Join(s.Tests, ", "))
	row("benchmarks", strings.Join(s.Benchmarks, ", "))
	row("to", strings.Join(s.Mail.To, ", "))
	row("cc", strings.Join(s.Mail.Cc, ", "))
	fmt.Fprintln(w)
	for _, p := range s.Patches {
		fmt.Fprintf(w, "  %04d  %s\n", p.Number, p.Subject)
		for _, path := range p.Paths() {
			fmt.Fprintf(w, "        %s\n", path)
		}
	}
	for i, e := range s.Expect {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "  %s fails before patch %d: %s\n", e.Test, e.Mended, e.Why)
	}
	for i, v := range s.Variants {
		if i == 0 {
			fmt.Fprintln(w)
		}
		what := "is built, too"
		if v.Test {
			what = "is built and tested, too"
		}
		on := ""
		if len(v.Arches) > 0 {
			on = " on " + strings.Join(v.Arches, ", ")
		}
		fmt.Fprintf(w, "  configuration %s %s%s: %s\n", v.Name, what, on, v.Why)
	}
	return nil
}
