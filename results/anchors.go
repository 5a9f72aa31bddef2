// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	_ "embed" // anchors.toml
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
)

//go:embed anchors.toml
var anchorsFile []byte

// An Anchor is what was once published about a benchmark of a series: what each patch changed.
type Anchor struct {
	Source  string    // the posting
	System  string    // what it was measured on
	Patches int       // of the series then
	Cost    []float64 // change of the rate in percent, of patch 1 and on; less than 0 is slower
	CostErr []float64 // and its error
}

// anchorsForm is the form of anchors.toml, as far as tables show it.
type anchorsForm struct {
	TaskWatchers struct {
		Source    string            `toml:"source"`
		System    string            `toml:"system"`
		Patches   int               `toml:"patches"`
		Clone     costForm          `toml:"clone"`
		Fork      costForm          `toml:"fork"`
		Kernbench map[string]series `toml:"kernbench"`
	} `toml:"task_watchers"`
	TaskDiag struct {
		Source string  `toml:"source"`
		Point  []Point `toml:"point"`
	} `toml:"task_diag"`
	AuditMarkers struct {
		Source     string       `toml:"source"`
		Prediction []Prediction `toml:"prediction"`
	} `toml:"audit_markers"`
}

type series []float64

type costForm struct {
	Cost           series `toml:"cost_tasks_per_s"`
	CostErr        series `toml:"cost_err_tasks_per_s"`
	CostPercent    series `toml:"cost_percent"`
	CostErrPercent series `toml:"cost_err_percent"`
}

// parseAnchors reads the file strictly: a figure under a misspelt key would silently be missing from a table.
func parseAnchors(data []byte) (*anchorsForm, error) {
	var f anchorsForm
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("anchors.toml: %w", err)
	}
	t := f.TaskWatchers
	for name, c := range map[string]costForm{"clone": t.Clone, "fork": t.Fork} {
		for _, list := range []series{c.Cost, c.CostErr, c.CostPercent, c.CostErrPercent} {
			if len(list) != t.Patches {
				return nil, fmt.Errorf("anchors.toml: task_watchers.%s: %d figures for %d patches", name, len(list), t.Patches)
			}
		}
	}
	for name, list := range t.Kernbench {
		if len(list) != t.Patches+1 {
			return nil, fmt.Errorf("anchors.toml: task_watchers.kernbench.%s: %d figures for a baseline and %d patches", name, len(list), t.Patches)
		}
	}
	for i, p := range f.AuditMarkers.Prediction {
		if !slices.Contains([]string{Loss, Tie, Gain}, p.Change) || p.Series == "" || p.What == "" || len(p.Audit) == 0 {
			return nil, fmt.Errorf("anchors.toml: audit_markers.prediction %d: change %q, want %s, %s or %s, and a series, a text and states", i+1, p.Change, Loss, Tie, Gain)
		}
	}
	return &f, nil
}

var anchors = sync.OnceValues(func() (*anchorsForm, error) { return parseAnchors(anchorsFile) })

// AnchorFor returns what was published about a benchmark of the series, or nil.
func AnchorFor(seriesID, benchmark string) (*Anchor, error) {
	f, err := anchors()
	if err != nil || seriesID != "task-watchers" {
		return nil, err
	}
	t := f.TaskWatchers
	c, ok := map[string]costForm{"clone": t.Clone, "fork": t.Fork}[strings.ToLower(benchmark)]
	if !ok {
		return nil, nil
	}
	return &Anchor{Source: t.Source, System: t.System, Patches: t.Patches, Cost: c.CostPercent, CostErr: c.CostErrPercent}, nil
}

// topics2006 are the words that tell the subjects of the patches of 2006 from 2 on: the first one was the infrastructure, as it
// is now, and the others have another order now.
var topics2006 = [][]string{
	2: {"audit"}, 3: {"semundo", "sem_undo", "sysv", "ipc"}, 4: {"cpuset"}, 5: {"mempolicy", "numa"}, 6: {"irqflags", "irq flag", "irq_flags"},
	7: {"lockdep"}, 8: {"keys", "keyring"}, 9: {"proc event", "proc_event", "process event", "connector"},
}

// topicOf is the number of the patch of 2006 whose topic a subject names, or 0 where it names none or several.
func topicOf(subject string) int {
	subject, found := strings.ToLower(subject), 0
	for n, words := range topics2006 {
		for _, w := range words {
			if !strings.Contains(subject, w) {
				continue
			}
			if found != 0 && found != n {
				return 0
			}
			found = n
		}
	}
	return found
}

// OldPatch returns the number of the published patch that did what the record's patch does, or 0. Of two patches with one
// topic neither is the old one for certain.
func (a *Anchor) OldPatch(r *Run, patch int) int {
	if patch < 1 || patch > len(r.Patches) {
		return 0
	}
	if patch == 1 {
		return 1
	}
	topic := topicOf(r.Patches[patch-1].Subject)
	for i, p := range r.Patches[1:] {
		if i+2 != patch && topicOf(p.Subject) == topic {
			return 0
		}
	}
	if topic > a.Patches {
		return 0
	}
	return topic
}
