// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// keepRun copies a run's logs and its outcome to dir, with paths relative to it.
func keepRun(dir, logs string, r *guestRun) error {
	if err := os.CopyFS(filepath.Join(dir, "logs"), os.DirFS(logs)); err != nil {
		return err
	}
	rel := *r.TestResult
	for _, p := range []*string{&rel.JSON, &rel.Log, &rel.Dir, &rel.Verdict.Where.Log} {
		if *p == "" {
			continue
		}
		var err error
		if *p, err = filepath.Rel(logs, *p); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(guestRun{TestResult: &rel, QEMU: r.QEMU}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "run.json"), b, 0o644)
}

func keptRun(dir string) (*guestRun, error) {
	b, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err != nil {
		return nil, err
	}
	var r guestRun
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	for _, p := range []*string{&r.JSON, &r.Log, &r.Dir, &r.Verdict.Where.Log} {
		if *p != "" {
			*p = filepath.Join(dir, "logs", *p)
		}
	}
	return &r, nil
}
