package migrate

import (
	"fmt"
	"strings"
)

// String is the dry run: a line a step, the cut-over marked.
func (p *Plan) String() string {
	var b strings.Builder
	line := func(host, format string, a ...any) {
		fmt.Fprintf(&b, "  %-10s "+format+"\n", append([]any{host}, a...)...)
	}
	fmt.Fprintf(&b, "%s move of %s (%s) from %s to %s\n", p.Mode, p.Guest.Name, p.Guest.UUID, p.From, p.To)
	for _, what := range p.Unchecked {
		fmt.Fprintf(&b, "  not checked: %s\n", what)
	}
	switch {
	case p.GoesOn:
		line(p.To, "go on with the copy that an earlier move left")
	case p.Leftover:
		line(p.To, "discard the copy that an earlier move left")
	}
	for _, d := range p.Disks {
		switch {
		case d.Kept && d.Left.IsZero():
			line(p.To, "take volume %s again, %s, and tell by hashes what it holds", d.Volume, Bytes(d.Size))
		case d.Kept:
			line(p.To, "take volume %s again, %s, which %s gave away on %s, and tell by hashes what it holds",
				d.Volume, Bytes(d.Size), p.To, d.Left.UTC().Format("2006-01-02 15:04"))
		default:
			line(p.To, "make volume %s, %s, locked until the hand-over", d.Volume, Bytes(d.Size))
		}
	}
	for _, d := range p.Guest.Shared {
		line("both", "see %s as %s, %s: nothing of it is copied", d.Dev, d.Path, Bytes(d.Size))
	}
	p.copied(line)(p.From, "snapshot %s", p.names())
	for _, d := range p.Disks {
		how := "zeros are left out"
		if d.Kept {
			how = "only the delta against the copy on " + p.To
		}
		line(p.From, "copy %s, %s, %s", d.Dev, Bytes(d.Size), how)
	}
	if p.Mode == Live {
		p.liveText(&b, line)
	} else {
		p.coldText(&b, line)
	}
	return b.String()
}

// copied is line for what is done with volumes, of which there may be none.
func (p *Plan) copied(line func(host, format string, a ...any)) func(host, format string, a ...any) {
	if len(p.Disks) == 0 {
		return func(string, string, ...any) {}
	}
	return line
}

// liveText is the rest of a live move.
func (p *Plan) liveText(b *strings.Builder, line func(host, format string, a ...any)) {
	p.copied(line)(p.From, "copy what changed meanwhile, again and again until it is little")
	if !p.Suspended {
		line("both", "send the memory of %s while it runs, %s at most a round", p.Guest.Name, Bytes(p.Guest.Memory))
	}
	fmt.Fprintf(b, "  ---- %s is suspended ----\n", p.Guest.Name)
	if p.Suspended {
		line("both", "send the memory of %s, %s at most", p.Guest.Name, Bytes(p.Guest.Memory))
	}
	p.copied(line)(p.From, "copy what changed last, and read that again on both")
	p.compared(line)
	fmt.Fprintf(b, "  ==== cut-over: until here every failure leaves %s on %s ====\n", p.Guest.Name, p.From)
	line(p.From, "give the guest up")
	line(p.To, "commit")
	fmt.Fprintf(b, "  ---- %s goes on on %s ----\n", p.Guest.Name, p.To)
	line(p.To, "take over volumes, ports and forwards")
	line(p.From, "fence the volumes, put the definition aside")
}

// coldText is the rest of a cold or a two-pass move.
func (p *Plan) coldText(b *strings.Builder, line func(host, format string, a ...any)) {
	if p.inRounds() {
		p.copied(line)(p.From, "copy what changed meanwhile, again and again until it is little")
	}
	if p.Runs {
		fmt.Fprintf(b, "  ---- %s stops: downtime begins ----\n", p.Guest.Name)
		line(p.From, "ask %s to power off", p.Guest.Name)
	}
	if p.Mode == TwoPass {
		p.copied(line)(p.From, "copy what changed last, and read that again on both")
	} else {
		p.copied(line)(p.From, "copy what changed meanwhile")
	}
	if p.Mode == Cold || p.opts.VerifyFull {
		p.copied(line)("both", "read every disk again, compare SHA-256")
	}
	p.compared(line)
	fmt.Fprintf(b, "  ==== cut-over: until here every failure leaves %s on %s ====\n", p.Guest.Name, p.From)
	line(p.From, "fence the volumes, give the guest up")
	line(p.To, "commit, take over volumes, ports and forwards")
	if !p.Guest.Off {
		line(p.To, "start %s", p.Guest.Name)
	}
	if p.Runs {
		fmt.Fprintf(b, "  ---- %s runs on %s: downtime ends ----\n", p.Guest.Name, p.To)
	}
	line(p.From, "put the definition aside; the volumes stay, fenced")
	if p.Runs {
		down := "less than 0.1s"
		if p.Downtime > 0 {
			down = p.Downtime.String()
		}
		fmt.Fprintf(b, "expected downtime: %s and the guest's own power-off and boot (%s)\n", down, p.Basis)
	} else {
		fmt.Fprintf(b, "no downtime: %s does not run\n", p.Guest.Name)
	}
}

// compared is what is done with disks that both hosts see.
func (p *Plan) compared(line func(host, format string, a ...any)) {
	for _, d := range p.Guest.Shared {
		line("both", "read blocks of %s, which must be the same", d.Dev)
	}
}

func (p *Plan) names() string {
	var names []string
	for _, d := range p.Disks {
		names = append(names, d.Dev)
	}
	return strings.Join(names, ", ")
}

// Bytes prints a number of bytes in binary units, as 2.5 GiB.
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for ; v >= 1024; i++ {
		v /= 1024
	}
	return strings.Replace(fmt.Sprintf("%.1f %ciB", v, units[i]), ".0 ", " ", 1)
}
