// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

const spec = "../../patches/task-watchers/table.toml"

func TestMainParts(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string // on standard output, or on standard error where the code is not 0
	}{
		{[]string{spec}, 0, "==== scripts/module.lds.S, in SECTIONS\n\t/* Task watchers"},
		{[]string{spec, "vmlinux"}, 0, "BOUNDED_SECTION_BY(SORT(.task_watchers.init.*), _task_watchers_init)"},
		{[]string{spec, "module"}, 0, ".task_watchers.dead\t0 : ALIGN(8) { KEEP(*(SORT(.task_watchers.dead.*))) }"},
		{[]string{spec, "header"}, 0, "#define task_watcher(event, fn)"},
		{[]string{spec, "footer"}, 2, `no part "footer"`},
		{[]string{"nothing.toml"}, 2, "nothing.toml: no such file"},
		{nil, 2, "usage: gentable"},
	} {
		var out, errs strings.Builder
		code := realMain(tt.args, &out, &errs)
		got := out.String()
		if tt.code != 0 {
			got = errs.String()
		}
		if code != tt.code || !strings.Contains(got, tt.want) || tt.code != 0 && out.Len() > 0 {
			t.Errorf("gentable %q: status %d, %q; want %d and %q", tt.args, code, got, tt.code, tt.want)
		}
	}
}
