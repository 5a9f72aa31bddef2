// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/seriesrig/series/internal/need"
)

// workflow renders the workflow of the series demo, as it would be in a repository of its own.
func workflow(t *testing.T, service string) []byte {
	t.Helper()
	d := &ciData{Marker: ciMarker, Command: "series ci", ID: "demo", Image: "golang:1.26-bookworm", BaseKey: "0123456789abcdef",
		Cells:   []ciCell{{"amd64", "release", "run"}, {"ppc64", "debug", "test"}},
		Env:     []ciVariable{{"SERIES_ID", "demo"}, {"SERIES_PATCHES", "patches"}, {"SERIES_CACHE_SIZE", "2GiB"}},
		Install: "apt-get update\napt-get install \\\n  bc", Build: "go install x@latest", Run: ciRun}
	text, err := renderCI(service, d)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// scripts collects the shell in a workflow: what stands under the keys by which the services run it.
func scripts(v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			switch key {
			case "run", "script", "before_script", "after_script":
				if s, ok := x.(string); ok {
					all = append(all, s)
				}
				if list, ok := x.([]any); ok {
					for _, s := range list {
						all = append(all, s.(string))
					}
				}
			}
			all = append(all, scripts(x)...)
		}
	case []any:
		for _, x := range v {
			all = append(all, scripts(x)...)
		}
	}
	return all
}

func TestWorkflows(t *testing.T) {
	bash := need.Tool(t, "bash")
	for _, service := range []string{"github", "gitlab"} {
		text := workflow(t, service)
		var doc map[string]any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v\n%s", service, err, text)
		}
		all := scripts(doc)
		if !slices.Contains(trimmed(all), ciRun) || len(all) < 4 {
			t.Errorf("%s: the shell that walks the series is not in it as it was written: %q", service, all)
		}
		for _, s := range all {
			cmd := exec.Command(bash, "-n")
			cmd.Stdin = strings.NewReader(s)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: bash -n: %v\n%s\n%s", service, err, out, s)
			}
		}
	}
}

func trimmed(all []string) []string {
	var out []string
	for _, s := range all {
		out = append(out, strings.TrimSpace(s))
	}
	return out
}

func TestWorkflowMatrix(t *testing.T) {
	var gh struct {
		Jobs map[string]struct {
			Strategy struct {
				Matrix struct{ Include []map[string]string }
			}
			Env map[string]string
		}
	}
	if err := yaml.Unmarshal(workflow(t, "github"), &gh); err != nil {
		t.Fatal(err)
	}
	job := gh.Jobs["series"]
	want := []map[string]string{{"arch": "amd64", "config": "release", "verb": "run"}, {"arch": "ppc64", "config": "debug", "verb": "test"}}
	if len(job.Strategy.Matrix.Include) != 2 || !slices.EqualFunc(job.Strategy.Matrix.Include, want, equalMap) {
		t.Errorf("matrix = %v, want %v", job.Strategy.Matrix.Include, want)
	}
	if job.Env["SERIES_ID"] != "demo" || job.Env["ARCH"] != "${{ matrix.arch }}" {
		t.Errorf("env = %v", job.Env)
	}
	var gl map[string]struct {
		Parallel  struct{ Matrix []map[string]string }
		Artifacts struct{ Reports map[string]string }
	}
	if err := yaml.Unmarshal(workflow(t, "gitlab"), &gl); err != nil {
		t.Fatal(err)
	}
	lab := gl["series demo"]
	want = []map[string]string{{"ARCH": "amd64", "CONFIG": "release", "VERB": "run"}, {"ARCH": "ppc64", "CONFIG": "debug", "VERB": "test"}}
	if !slices.EqualFunc(lab.Parallel.Matrix, want, equalMap) || lab.Artifacts.Reports["junit"] != "series-ci/out/junit.xml" {
		t.Errorf("gitlab: matrix %v, reports %v", lab.Parallel.Matrix, lab.Artifacts.Reports)
	}
}

func equalMap(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

// The shell, with a stand-in for series that says what it was called with.
func TestWorkflowShell(t *testing.T) {
	bash := need.Tool(t, "bash")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "series-ci", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	standIn := "#!/bin/sh\nprintf '<%s>' \"$@\"\nexit ${FAIL:-0}\n"
	if err := os.WriteFile(filepath.Join(dir, "series-ci", "bin", "series"), []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	sh := func(env ...string) (string, error) {
		cmd := exec.Command(bash, "-e", "-c", ciRun)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), append([]string{"SERIES_ID=demo", "SERIES_PATCHES=patches", "SERIES_ROOT=.", "SERIES_CONFIGS=configs", "ARCH=amd64", "CONFIG=release", "VERB=run"}, env...)...)
		out, err := cmd.Output()
		return string(out), err
	}
	common := "<--work><series-ci/work><--patches><patches><--root><.><--configs><configs>"
	got, err := sh()
	if want := common + "<run><demo><--arch><amd64><--quick><--record><series-ci/out/record><--output><series-ci/out/demo.mbox><--junit><series-ci/out/junit.xml>"; got != want || err != nil {
		t.Errorf("run: %s, %v, want %s", got, err, want)
	}
	got, err = sh("VERB=test", "CONFIG=debug", "SERIES_BASE=git:https://x/y#v 1")
	if want := common + "<--base><git:https://x/y#v 1><test><demo><--arch><amd64><--config><debug><--each><--junit><series-ci/out/junit.xml>"; got != want || err != nil {
		t.Errorf("test: %s, %v, want %s", got, err, want)
	}
	if _, err := sh("FAIL=1"); exitStatus(err) != "1" {
		t.Errorf("a run with findings ends with %v, want exit status 1", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "series-ci", "out", "summary.txt")); err != nil || !bytes.Contains(b, []byte("<run>")) {
		t.Errorf("summary = %q, %v", b, err)
	}
}

// TestWorkflowSchemas has programs that carry the published schemas judge the workflows: action-validator the one that
// SchemaStore has for GitHub, gitlab-ci-local the one of GitLab's editor. Both come from npm in the version that is named.
func TestWorkflowSchemas(t *testing.T) {
	need.Long(t)
	npm := need.Tool(t, "npm")
	dir := t.TempDir()
	if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	judge := map[string][]string{
		"github": {"exec", "--yes", "@action-validator/cli@0.6.0", "--"},
		"gitlab": {"exec", "--yes", "gitlab-ci-local@4.61.1", "--", "--list", "--file"},
	}
	spoil := map[string][][2]string{
		"github": {{"    steps:", "    stepz:"}, {"timeout-minutes: 350", "timeout-minutes: [1]"}, {"fail-fast: false", "fail-fasst: false"}},
		"gitlab": {{"  interruptible: true", "  interruptible: {a: 1}"}, {"    when: always\n    expire_in", "    when: sometimes\n    expire_in"}, {"parallel:\n    matrix:", "parallel:\n    matrx:"}},
	}
	for service, args := range judge {
		check := func(name string, text []byte) error {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(npm, append(slices.Clone(args), name)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			t.Logf("%s %s: %v\n%.2000s", service, name, err, out)
			return err
		}
		text := workflow(t, service)
		if err := check("good.yml", text); err != nil {
			t.Errorf("%s: the schema rejects our workflow: %v", service, err)
		}
		for _, s := range spoil[service] {
			bad := strings.Replace(string(text), s[0], s[1], 1)
			if bad == string(text) {
				t.Fatalf("%s: no %q in the workflow", service, s[0])
			}
			if check("bad.yml", []byte(bad)) == nil {
				t.Errorf("%s: the schema takes %q", service, s[1])
			}
		}
	}
}
