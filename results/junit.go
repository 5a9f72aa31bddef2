// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The elements of a JUnit report, as the Ant task wrote them first and as test tabs read them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Skipped *junitMessage `xml:"skipped"`
		Error   *junitMessage `xml:"error"`
		Failure *junitMessage `xml:"failure"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the record as a JUnit report: a suite for each cell, in which the build, each proof and each test is a
// case, and the guest is one where it ended otherwise than it should. A kernel that does not build, a proof that does not
// hold and a test that fails are failures; a rig that failed is an error, since it tells nothing about the patch. A
// failure that was known beforehand is skipped, with a message that says so.
func WriteJUnit(w io.Writer, r *Run) error {
	out := junitSuites{Name: fmt.Sprintf("%s v%d", r.Series, r.Revision), Time: junitSeconds(r.Duration().Seconds())}
	for i := range r.Cells {
		s := junitCell(r, &r.Cells[i])
		out.Tests += s.Tests
		out.Failures += s.Failures
		out.Errors += s.Errors
		out.Skipped += s.Skipped
		out.Suites = append(out.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	return nil
}

func junitCell(r *Run, c *Cell) junitSuite {
	name := fmt.Sprintf("%s %d/%d", c.Arch, c.Patch, len(r.Patches))
	if c.Config != "" && c.Config != "release" {
		name += " " + c.Config
	}
	s := junitSuite{Name: name, Timestamp: r.Started.UTC().Format(time.RFC3339), Hostname: "localhost",
		Properties: []junitProperty{{"base", r.Base.Spec + " " + r.Base.Version}}}
	if c.Patch > 0 && c.Patch <= len(r.Patches) {
		s.Properties = append(s.Properties, junitProperty{"patch", r.Patches[c.Patch-1].Subject})
	}
	class := r.Series + "." + strings.ReplaceAll(name, " ", ".")
	sum := 0.0
	add := func(k junitCase, seconds float64) {
		k.Class, k.Time = class, junitSeconds(seconds)
		sum += seconds
		s.Tests++
		switch {
		case k.Failure != nil:
			s.Failures++
		case k.Error != nil:
			s.Errors++
		case k.Skipped != nil:
			s.Skipped++
		}
		s.Cases = append(s.Cases, k)
	}
	if b := c.Build; b != nil {
		if b.ID != "" {
			s.Properties = append(s.Properties, junitProperty{"build", b.ID})
		}
		k := junitCase{Name: "build"}
		if len(b.Errors) > 0 {
			k.Failure = &junitMessage{Message: b.Errors[0], Type: "build", Text: strings.Join(b.Errors, "\n") + "\nlog: " + b.Log}
		}
		if len(b.WarningsNew) > 0 { // not what the run is judged by
			k.Out = "new warnings:\n" + strings.Join(b.WarningsNew, "\n")
		}
		seconds := b.Seconds
		if b.Cached {
			seconds = 0
		}
		add(k, seconds)
	} else {
		add(junitCase{Name: "build", Skipped: &junitMessage{Message: "not built"}}, 0)
	}
	for _, p := range c.Proofs {
		k := junitCase{Name: "proof " + p.Name}
		if !p.Pass {
			k.Failure = &junitMessage{Message: p.Detail, Type: "proof", Text: p.Detail}
		}
		add(k, 0)
	}
	if t := c.Tests; t != nil {
		for _, x := range t.Cases {
			add(junitTest(x), x.Seconds)
		}
		junitGuest(t, add)
	}
	s.Time = junitSeconds(sum)
	return s
}

func junitTest(x Test) junitCase {
	k := junitCase{Name: x.Name}
	first, _, _ := strings.Cut(strings.TrimSpace(x.Output), "\n")
	switch {
	case x.Skipped:
		k.Skipped = &junitMessage{Message: first}
	case x.Expected:
		k.Skipped = &junitMessage{Message: "fails here, and is known to: a later patch mends it"}
	case x.Verdict == Rig:
		k.Error = &junitMessage{Message: first, Type: string(x.Verdict), Text: x.Output}
	case x.Verdict != Pass:
		k.Failure = &junitMessage{Message: first, Type: string(x.Verdict), Text: x.Output}
	}
	return k
}

// junitGuest adds a case for a guest whose end no test stands for: it panicked, or did not come up.
func junitGuest(t *Tests, add func(junitCase, float64)) {
	k := junitCase{Name: "guest"}
	m := &junitMessage{Message: "the guest ended: " + string(t.Verdict), Type: string(t.Verdict), Text: "logs: " + t.Log}
	switch t.Verdict {
	case Pass:
	case Fail:
		if t.Failed > 0 {
			return
		}
		k.Failure = m
	case Rig:
		k.Error = m
	default:
		k.Failure = m
	}
	add(k, 0)
}

func junitSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }
