package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// benchReport is the JSON form.
type benchReport struct {
	Hub             string        `json:"hub"`
	OwnHub          bool          `json:"own_hub"` // it was the bench's, and is gone
	Version         string        `json:"hub_version"`
	Directory       string        `json:"directory"` // where the disk was measured; it is gone
	Project         string        `json:"project"`   // whose entries they are; it is revoked
	EntryBytes      int           `json:"entry_bytes"`
	DurationSeconds float64       `json:"duration_seconds"`
	Publish         []publishRate `json:"publish"`
	Sync            syncRate      `json:"sync"`
	Listen          listenRate    `json:"listen"`
	NoDisk          string        `json:"disk_not_measured"` // why; empty if it was
}

func (r *benchReport) print(sys *system) {
	what := "the running hub at " + r.Hub
	if r.OwnHub {
		what = "a hub of the bench's own, on the disk of " + r.Directory
	}
	sys.printf("%s, with entries of %s\n\n", what, plural(r.EntryBytes, "byte", "bytes"))
	lines := [][]string{{"", "entries/s", "half within", "99 % within", "the disk alone", "ratio"}}
	for _, p := range r.Publish {
		disk, ratio := "", ""
		if p.Disk != nil {
			disk, ratio = rateText(p.Disk.EntriesPerSecond)+"/s", fmt.Sprintf("%.2f", p.Ratio)
		}
		lines = append(lines, []string{"publish, " + plural(p.Publishers, "publisher", "publishers"),
			rateText(p.EntriesPerSecond), secondsText(p.P50), secondsText(p.P99), disk, ratio})
	}
	lines = append(lines, []string{"sync, 1 reader, " + size(uint64(r.Sync.BytesPerSecond)) + "/s", rateText(r.Sync.EntriesPerSecond), "", "", "", ""},
		[]string{"listen, the last of " + count(r.Listen.Listeners), "", secondsText(r.Listen.P50), secondsText(r.Listen.P99), "", ""})
	sys.table(lines)
	r.explain(sys)
}

// explain says what the figures mean.
func (r *benchReport) explain(sys *system) {
	sys.printf("\npublish: until the hub has acknowledged the entry, which is then on the disk. listen: from the beginning of the\n"+
		"publish until the last listener has it; half of the acknowledgements were there after %s.\n", secondsText(r.Listen.Publish))
	if r.NoDisk != "" {
		sys.printf("no ratio: %s.\n", r.NoDisk)
	} else {
		sys.printf("ratio: of what the disk takes when as many records as there are publishers share each sync, and nothing else\n" +
			"is done. With 1.00 only the disk would count; with many publishers the rest is the processor's, for both sides.\n")
	}
	if !r.OwnHub {
		sys.printf("The entries stay in the hub's log; their project, %s, is revoked.\n", r.Project)
	}
}

func rateText(perSecond float64) string { return count(uint64(perSecond + 0.5)) }

func secondsText(seconds float64) string {
	return fineSpan(time.Duration(seconds * float64(time.Second)))
}

// table writes lines in columns: the first one to the left, numbers to the right.
func (s *system) table(lines [][]string) {
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("   " + pad + cell)
			}
		}
		s.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}
