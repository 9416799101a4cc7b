package handover_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// enumerate goes through every effect of a live move × what happens there × what
// dies with the mover × which hosts lose their power, and the same once more
// inside the Resume that follows. It returns how many schedules there were and
// the first thing that went wrong, and begins with effect from.
func enumerate(mutant string, from int) (schedules int, err error) {
	reboots := [][2]bool{{}, {true, false}, {false, true}, {true, true}}
	hows := []string{"before", "after", "lost"}
	for at, more := from, true; more; at++ {
		more = false
		for _, how := range hows {
			for _, dies := range [][2]bool{{}, {true, false}, {false, true}, {true, true}} {
				for _, reboot := range reboots {
					first := plight{copyDies: dies[0], xlDies: dies[1], reboot: reboot}
					for at2, how2 := -1, 0; ; {
						for _, reboot2 := range reboots[:3] {
							if at2 < 0 && reboot2 != reboots[0] {
								continue
							}
							reached, reached2, err := schedule(mutant, at, how, first, at2, hows[how2], reboot2)
							more = more || reached
							if reached {
								schedules++
							}
							if err != nil {
								return schedules, fmt.Errorf("effect %d, %s, %+v; then effect %d of Resume, %s, reboot %v: %w", at, how, first, at2, hows[how2], reboot2, err)
							}
							if at2 >= 0 && !reached2 {
								how2 = len(hows)
							}
							if how2 == len(hows) {
								break
							}
						}
						if how2 == len(hows) {
							break // Resume has no such effect
						}
						if at2 < 0 {
							at2, how2 = 0, 0
						} else if how2++; how2 == len(hows) {
							at2, how2 = at2+1, 0
						}
					}
				}
			}
		}
	}
	return schedules, nil
}

func schedule(mutant string, at int, how string, first plight, at2 int, how2 string, reboot2 [2]bool) (reached, reached2 bool, err error) {
	w := newSim()
	w.mutant = mutant
	reached, _, _ = w.run(w.live, at, how, first)
	if !reached {
		return false, false, nil
	}
	if at2 >= 0 {
		reached2, _, _ = w.run(w.resume, at2, how2, plight{reboot: reboot2})
	}
	// One Resume ends it; a second one finds nothing to do.
	if _, _, err = w.run(w.resume, -1, "", plight{}); err == nil {
		_, _, err = w.run(w.resume, -1, "", plight{})
	}
	w.tick()
	if err == nil {
		err = w.settled()
	}
	if len(w.broken) > 0 {
		err = fmt.Errorf("%s (%d more)", w.broken[0], len(w.broken)-1)
	}
	return reached, reached2, err
}

// TestEnumerate: at no moment of any schedule do two copies run or one from a
// disk that lacks an acknowledged write, and every schedule ends by itself or by
// one Resume.
func TestEnumerate(t *testing.T) {
	n, err := enumerate("", 0)
	require.NoError(t, err)
	t.Logf("%d schedules", n)
	assert.GreaterOrEqual(t, n, 20_000)
}

// caught requires that the enumeration notices a mistake.
func caught(t *testing.T, mutant string) {
	t.Helper()
	n, err := enumerate(mutant, 8)
	require.Error(t, err, "%d schedules, and nobody noticed", n)
	t.Logf("%d schedules; first: %v", n, err)
}

func TestMutantNoFence(t *testing.T)         { caught(t, "no fence") }
func TestMutantCommitBeforeGo(t *testing.T)  { caught(t, "commit before go") }
func TestMutantNoSyncFenced(t *testing.T)    { caught(t, "no fsync of fenced") }
func TestMutantNoSyncCommitted(t *testing.T) { caught(t, "no fsync of committed") }
func TestMutantDoneList(t *testing.T)        { caught(t, "done list") }
func TestMutantReportForwarded(t *testing.T) { caught(t, "report forwarded") }
