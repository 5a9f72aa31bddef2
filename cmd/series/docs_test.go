// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var (
	// commandLine finds one in a page: in a span of code, or in a line of a block, where two spaces end it.
	commandLine = regexp.MustCompile("(?m)(?:`|^    (?:bin/)?|jq |')(series (?:--[a-z-]+ \\S+ )*[a-z]+[^`\n|']*)")
	longFlag    = regexp.MustCompile(`(?:^| )--([a-z][a-z-]*)`)
)

// commands are the command lines of a page.
func commands(page string) []string {
	var all []string
	for _, m := range commandLine.FindAllStringSubmatch(page, -1) {
		line, _, _ := strings.Cut(m[1], "  ")
		line, _, _ = strings.Cut(line, " -- ")
		all = append(all, line)
	}
	return all
}

// unknown tells what a command line has that the program has not.
func unknown(model *kong.Application, line string) error {
	words := strings.Fields(line)[1:]
	for len(words) > 1 && strings.HasPrefix(words[0], "--") { // flags before the verb, with their values
		words = words[2:]
	}
	i := slices.IndexFunc(model.Children, func(n *kong.Node) bool { return n.Name == words[0] })
	if i < 0 {
		return fmt.Errorf("%q: no verb %s", line, words[0])
	}
	flags := slices.Concat(model.Flags, model.Children[i].Flags)
	for _, m := range longFlag.FindAllStringSubmatch(line, -1) {
		if !slices.ContainsFunc(flags, func(f *kong.Flag) bool { return f.Name == m[1] || f.Tag.Negatable != "" && "no-"+f.Name == m[1] }) {
			return fmt.Errorf("%q: %s has no flag --%s", line, words[0], m[1])
		}
	}
	return nil
}

// The pages name no verb and no flag that the program has not.
func TestDocumentedCommands(t *testing.T) {
	k, err := kong.New(&cli{}, kong.Name("series"), kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md", "../../ARCHITECTURE.md", "../../CONTRIBUTING.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commands(string(b)) {
			found++
			if err := unknown(k.Model, line); err != nil {
				t.Errorf("%s: %v", filepath.Base(page), err)
			}
		}
	}
	if found < 60 {
		t.Errorf("%d command lines in the pages, want 60 at least: they are not found", found)
	}
	for _, bad := range []string{"`series frobnicate ID`", "    series build ID --eech   every prefix\n", "`series --patches ../x run ID --quik`"} {
		lines := commands(bad)
		if len(lines) != 1 || unknown(k.Model, lines[0]) == nil {
			t.Errorf("%q passes: %q", bad, lines)
		}
	}
}
