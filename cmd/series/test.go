// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"regexp"
	"time"
)

// guestFlags are the flags of the verbs that boot guests.
type guestFlags struct {
	Package []string      `placeholder:"PKG" help:"Go packages to run instead of the ones that the series names."`
	Again   bool          `help:"Boot even where the outcome is known from an earlier run."`
	PerTest time.Duration `default:"60s" help:"Limit for each top-level test, in the guest's time (default: ${default})."`
}

// testCmd runs the series' tests.
type testCmd struct {
	cellFlags
	guestFlags
	junitFlag
	Fresh   *bool  `negatable:"" help:"Boot a guest for all tests of a package; --no-fresh restores one from a snapshot for each test (default: what the series says, else --no-fresh)."`
	Require bool   `env:"SERIES_REQUIRE" help:"A test that skips itself is a finding, but where a [[skip]] of series.toml says that it may."`
	Only    string `name:"run" placeholder:"REGEXP" help:"Only tests whose name matches."`
}

// checkPattern refuses a --run that no test's name can be held against.
func checkPattern(pattern string) error {
	if _, err := regexp.Compile(pattern); err != nil {
		return usage("--run: %v", err)
	}
	return nil
}

func (c *testCmd) Run(ctx context.Context, a *app) error {
	started := time.Now()
	if err := checkPattern(c.Only); err != nil {
		return err
	}
	s, cells, err := c.open(ctx, a, "test", c.output())
	if err != nil {
		return err
	}
	defer s.Close()
	if len(c.Package) > 0 {
		s.series.Tests = c.Package
	}
	if err := s.compile(ctx, cells, s.series.Tests...); err != nil {
		return err
	}
	buildErr := s.build(ctx, cells)
	if buildErr != nil && !isFinding(buildErr) {
		return buildErr
	}
	if _, err := s.test(ctx, cells, guestOptions{run: c.Only, again: c.Again, fresh: s.fresh(c.Fresh), perTest: c.PerTest, require: c.Require}); err != nil {
		return err
	}
	r, err := s.record(started, cells)
	if err != nil {
		return err
	}
	if err := c.junitFlag.write(r); err != nil {
		return err
	}
	return s.finish(r, buildErr, "verdicts")
}
