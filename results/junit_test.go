// SPDX-License-Identifier: Apache-2.0

package results_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/seriesrig/series/results"
)

// A report, as somebody else would read it.
type report struct {
	Tests, Failures, Errors, Skipped int `xml:",attr"`
	Suites                           []struct {
		Name                             string `xml:"name,attr"`
		Tests, Failures, Errors, Skipped int    `xml:",attr"`
		Cases                            []struct {
			Name    string `xml:"name,attr"`
			Class   string `xml:"classname,attr"`
			Skipped *struct {
				Message string `xml:"message,attr"`
			} `xml:"skipped"`
			Failure, Error *struct {
				Type    string `xml:"type,attr"`
				Message string `xml:"message,attr"`
				Text    string `xml:",chardata"`
			}
			Out string `xml:"system-out"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// readReport reads a report by a decoder of its own, whose names are in lower case.
func readReport(t *testing.T, r *results.Run) (rep report, text string) {
	t.Helper()
	var b strings.Builder
	if err := results.WriteJUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	text = b.String()
	lower := strings.NewReplacer(` tests="`, ` Tests="`, ` failures="`, ` Failures="`, ` errors="`, ` Errors="`, ` skipped="`, ` Skipped="`,
		"<failure ", "<Failure ", "</failure>", "</Failure>", "<error ", "<Error ", "</error>", "</Error>")
	d := xml.NewDecoder(strings.NewReader(lower.Replace(text)))
	d.Strict = true
	if err := d.Decode(&rep); err != nil {
		t.Fatalf("the report is not XML: %v\n%s", err, text)
	}
	return rep, text
}

func TestJUnit(t *testing.T) {
	r := trial()
	good, text := readReport(t, r)
	if len(good.Suites) != len(r.Cells) || good.Failures+good.Errors != 0 || good.Tests != 4*len(r.Cells) {
		t.Errorf("a good run has %d suites, %d cases, %d failures, %d errors\n%s", len(good.Suites), good.Tests, good.Failures, good.Errors, text)
	}

	r.Cells = r.Cells[:4]
	r.Cells[0].Build.Errors = []string{"a.c:1: error: <x> & \"y\"\x1b[31m ]]> \x00", "b.c:2: error: z"}
	r.Cells[0].Build.WarningsNew = []string{"a.c:3: warning: w"}
	r.Cells[1].Proofs[1] = results.Proof{Name: "symbols", Detail: "no foo"}
	r.Cells[2].Tests = &results.Tests{Verdict: results.Panic, Passed: 1, Failed: 1, Expected: 1, Skipped: 1, Log: "/logs", Cases: []results.Test{
		{Name: "TestGood", Verdict: results.Pass, Seconds: 0.5},
		{Name: "TestBad", Verdict: results.Fail, Output: "\nbad.go:1: no\nmore"},
		{Name: "TestKnown", Verdict: results.Fail, Expected: true},
		{Name: "TestSkipped", Verdict: results.Pass, Skipped: true, Output: "too old"},
	}}
	r.Cells[3].Build, r.Cells[3].Tests = nil, &results.Tests{Verdict: results.Rig}
	rep, _ := readReport(t, r)
	var got []string
	for _, s := range rep.Suites {
		n := [4]int{}
		for _, c := range s.Cases {
			n[0]++
			switch {
			case c.Failure != nil:
				n[1]++
				got = append(got, s.Name+" "+c.Name+" F "+c.Failure.Type+": "+c.Failure.Message)
			case c.Error != nil:
				n[2]++
				got = append(got, s.Name+" "+c.Name+" E "+c.Error.Type)
			case c.Skipped != nil:
				n[3]++
				got = append(got, s.Name+" "+c.Name+" S "+c.Skipped.Message)
			}
			if c.Out != "" {
				got = append(got, c.Out)
			}
		}
		if want := [4]int{s.Tests, s.Failures, s.Errors, s.Skipped}; n != want {
			t.Errorf("suite %s counts %v, has %v", s.Name, want, n)
		}
	}
	want := []string{
		"ppc64 2/2 build F build: a.c:1: error: <x> & \"y\"\ufffd[31m ]]> \ufffd",
		"new warnings:\na.c:3: warning: w",
		"ppc64 0/2 proof symbols F proof: no foo",
		"amd64 2/2 TestBad F fail: bad.go:1: no",
		"amd64 2/2 TestKnown S fails here, and is known to: a later patch mends it",
		"amd64 2/2 TestSkipped S too old",
		"amd64 2/2 guest F panic: the guest ended: panic",
		"amd64 0/2 build S not built",
		"amd64 0/2 guest E rig",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("cases:\n%s\nwant:\n%s", g, w)
	}
}
