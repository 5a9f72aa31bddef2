// SPDX-License-Identifier: Apache-2.0

// Mutants proves that the guest tests of a series can fail. Each mutant is a patch that breaks the series in a known way;
// it is put on top of a copy of the series, and the tests that the table names for it have to fail.
//
//	go run ./internal/mutants kauditd-wakeup
//	go run ./internal/mutants task-diag no-wake.patch
//
// It is a program for developers of a series, run from the top of the checkout, and needs bin/series.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

type table struct {
	Mutant []mutant `toml:"mutant"`
}

type mutant struct {
	Patch string   `toml:"patch"` // file beside the table
	Fails []string `toml:"fails"` // tests that have to fail
	Why   string   `toml:"why"`
	Arch  string   `toml:"arch"` // "" means amd64
}

// outcome is the part of `series test --json` that matters here.
type outcome struct {
	Cells []struct {
		Build struct {
			Errors []string `json:"errors"`
		} `json:"build"`
		Tests *struct {
			Verdict string     `json:"verdict"`
			Cases   []testCase `json:"cases"`
		} `json:"tests"`
	} `json:"cells"`
}

type testCase struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
}

func main() {
	if err := realMain(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants: "+err.Error())
		os.Exit(1)
	}
}

func realMain(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: mutants SERIES [PATCH...]")
	}
	id, only := args[0], args[1:]
	dir := filepath.Join("vmtest", "guesttests", strings.ReplaceAll(strings.TrimSuffix(id, "-wakeup"), "-", ""), "mutants")
	f, err := os.Open(filepath.Join(dir, "mutants.toml"))
	if err != nil {
		return err
	}
	defer f.Close()
	var t table
	if err := toml.NewDecoder(f).DisallowUnknownFields().Decode(&t); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if len(only) > 0 {
		t.Mutant = slices.DeleteFunc(t.Mutant, func(m mutant) bool { return !slices.Contains(only, m.Patch) })
		if len(t.Mutant) != len(only) {
			return fmt.Errorf("%s: has %d of the %d patches %s", f.Name(), len(t.Mutant), len(only), strings.Join(only, ", "))
		}
	}
	survived := 0
	for _, m := range t.Mutant {
		missed, err := m.run(id, dir)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", m.Patch, err)
		case len(missed) > 0:
			survived++
			fmt.Printf("%-32s SURVIVED %s\n", m.Patch, strings.Join(missed, ", "))
		default:
			fmt.Printf("%-32s caught by %s\n", m.Patch, strings.Join(m.Fails, ", "))
		}
	}
	fmt.Printf("%d mutants, %d survived\n", len(t.Mutant), survived)
	if survived > 0 {
		return errors.New("a test that ought to fail passed")
	}
	return nil
}

// run tests one mutant and returns the tests that ought to have failed on it and did not.
func (m mutant) run(id, dir string) (missed []string, err error) {
	if len(m.Fails) == 0 {
		return nil, errors.New("the table names no test that has to fail")
	}
	tmp, err := os.MkdirTemp("", "mutants-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	series := filepath.Join(tmp, id)
	if err := os.CopyFS(series, os.DirFS(filepath.Join("patches", id))); err != nil {
		return nil, err
	}
	patches, err := filepath.Glob(filepath.Join(series, "*.patch"))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, m.Patch))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(series, fmt.Sprintf("%04d-mutant.patch", len(patches)+1)), text, 0o644); err != nil {
		return nil, err
	}
	arch := m.Arch
	if arch == "" {
		arch = "amd64"
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("bin/series", "test", id, "--patches", tmp, "--root", ".", "--arch", arch, "--json", "-q",
		"--run", "^("+strings.Join(m.Fails, "|")+")$")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err == nil {
		return m.Fails, nil
	}
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return nil, fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	var o outcome
	if err := json.Unmarshal(stdout.Bytes(), &o); err != nil {
		return nil, fmt.Errorf("series test --json: %w\n%s", err, stderr.Bytes())
	}
	if len(o.Cells) != 1 || o.Cells[0].Tests == nil {
		return nil, fmt.Errorf("the mutant does not build or boot: %+v\n%s", o.Cells, stderr.Bytes())
	}
	for _, name := range m.Fails {
		failed := slices.ContainsFunc(o.Cells[0].Tests.Cases, func(c testCase) bool {
			return c.Name == name && c.Verdict != "pass"
		})
		if !failed {
			missed = append(missed, name)
		}
	}
	return missed, nil
}
