// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLockWork(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	var stderr bytes.Buffer
	first, err := lockWork(ctx, dir, "series run demo", true, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	holder := fmt.Sprintf("pid %d (series run demo)", os.Getpid())
	if _, err := lockWork(ctx, dir, "series build demo", true, &stderr); err == nil || !strings.Contains(err.Error(), holder) {
		t.Errorf("lockWork without waiting = %v, want an error that names %q", err, holder)
	}

	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := lockWork(short, dir, "series build demo", false, &stderr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("lockWork that waits = %v, want the context's error", err)
	}
	if !strings.Contains(stderr.String(), holder) {
		t.Errorf("lockWork that waits said %q, want it to name %q", &stderr, holder)
	}

	time.AfterFunc(300*time.Millisecond, func() { first.Close() })
	second, err := lockWork(ctx, dir, "series build demo", false, &stderr)
	if err != nil {
		t.Fatalf("lockWork after the holder went: %v", err)
	}
	second.Close()
}
