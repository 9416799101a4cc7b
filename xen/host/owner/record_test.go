package owner_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/xen/host/owner"
)

var (
	guest = uuid.MustParse("11111111-2222-4333-8444-555555555555")
	move1 = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")
	move2 = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000002")
)

func rec(s owner.State, epoch uint64, peer string, move uuid.UUID) owner.Record {
	return owner.Record{UUID: guest, State: s, Epoch: epoch, Peer: peer, Move: move}
}

// overridden is a record with an operator's word that islay is off.
func overridden(s owner.State, epoch uint64, peer string, move uuid.UUID) owner.Record {
	r := rec(s, epoch, peer, move)
	r.Override = owner.Override{Host: "islay", Vouch: owner.PoweredOff}
	return r
}

func receivingFrom(peer string) owner.Record { return rec(owner.Receiving, 2, peer, move1) }
func replicaOf(peer string, epoch uint64) owner.Record {
	return rec(owner.Replica, epoch, peer, uuid.Nil)
}
func readyFrom(peer string) owner.Record { return rec(owner.Ready, 2, peer, move1) }

// put writes a chain of records and returns what the last Put said.
func put(t *testing.T, chain ...owner.Record) error {
	t.Helper()
	s := owner.NewStore(t.TempDir(), nil)
	for _, r := range chain[:len(chain)-1] {
		require.NoError(t, s.Put(r))
	}
	return s.Put(chain[len(chain)-1])
}

func TestLegalHandOvers(t *testing.T) {
	running := rec(owner.Running, 1, "", uuid.Nil)
	prepared := rec(owner.Prepared, 1, "islay", move1)
	fenced := rec(owner.Fenced, 2, "islay", move1)
	receiving := rec(owner.Receiving, 2, "curacao", move1)
	ready := rec(owner.Ready, 2, "curacao", move1)
	for name, chain := range map[string][]owner.Record{
		"source, to the end":               {running, prepared, fenced, rec(owner.Released, 2, "islay", move1)},
		"source, rolled back":              {running, prepared, running, rec(owner.Prepared, 1, "islay", move2)},
		"source, fence lifted":             {running, prepared, fenced, rec(owner.Running, 3, "", uuid.Nil)},
		"source, it comes back":            {running, prepared, fenced, rec(owner.Receiving, 3, "islay", move2)},
		"target, to the end":               {receiving, ready, rec(owner.Committed, 2, "curacao", move1), rec(owner.Running, 2, "", uuid.Nil)},
		"target, given up, again":          {receiving, rec(owner.Aborted, 2, "curacao", move1), rec(owner.Receiving, 2, "curacao", move2)},
		"target, the copy is gone on with": {receiving, rec(owner.Receiving, 2, "curacao", move2), rec(owner.Ready, 2, "curacao", move2)},
		"target, given up late":            {receiving, ready, rec(owner.Aborted, 2, "curacao", move1)},
		"replica":                          {replicaOf("islay", 1), replicaOf("islay", 1), replicaOf("jura", 3)},
		"replica, promoted":                {replicaOf("islay", 1), rec(owner.Committed, 2, "islay", move1), rec(owner.Running, 2, "", uuid.Nil)},
		"replica, on a word":               {replicaOf("islay", 1), overridden(owner.Committed, 2, "islay", move1)},
		"replica, moved onto":              {replicaOf("islay", 1), rec(owner.Receiving, 2, "islay", move1)},
		"source, a replica of it":          {running, prepared, fenced, rec(owner.Released, 2, "islay", move1), replicaOf("islay", 2)},
		"provisioned":                      {rec(owner.Building, 1, "", uuid.Nil), running},
		"the same again":                   {running, prepared, prepared},
		"overridden, it never gave it up":  {running, prepared, overridden(owner.Running, 2, "", uuid.Nil), rec(owner.Prepared, 2, "texel", move2)},
		"overridden, fence lifted":         {running, prepared, fenced, overridden(owner.Running, 3, "", uuid.Nil)},
		"overridden, committed":            {receivingFrom("islay"), readyFrom("islay"), overridden(owner.Committed, 2, "islay", move1), overridden(owner.Running, 3, "", uuid.Nil)},
		"overridden, given up":             {receivingFrom("islay"), overridden(owner.Aborted, 2, "islay", move1)},
		"committed, overridden elsewhere":  {receiving, ready, rec(owner.Committed, 2, "curacao", move1), rec(owner.Fenced, 3, "curacao", move1), rec(owner.Released, 3, "curacao", move1)},
		"provisioned again":                {rec(owner.Building, 1, "", uuid.Nil), rec(owner.Building, 1, "", uuid.Nil)},
	} {
		t.Run(name, func(t *testing.T) { assert.NoError(t, put(t, chain...)) })
	}
}

func TestIllegalSteps(t *testing.T) {
	running := rec(owner.Running, 1, "", uuid.Nil)
	prepared := rec(owner.Prepared, 1, "islay", move1)
	fenced := rec(owner.Fenced, 2, "islay", move1)
	receiving := rec(owner.Receiving, 2, "curacao", move1)
	ready := rec(owner.Ready, 2, "curacao", move1)
	committed := rec(owner.Committed, 2, "curacao", move1)
	aborted := rec(owner.Aborted, 2, "curacao", move1)
	for name, chain := range map[string][]owner.Record{
		"fence without preparing":             {running, fenced},
		"fence in the old epoch":              {running, prepared, rec(owner.Fenced, 1, "islay", move1)},
		"fence for another move":              {running, prepared, rec(owner.Fenced, 2, "islay", move2)},
		"fence for another peer":              {running, prepared, rec(owner.Fenced, 2, "texel", move1)},
		"run what was handed away":            {running, prepared, fenced, rec(owner.Running, 2, "", uuid.Nil)},
		"run what was handed away, old epoch": {running, prepared, fenced, running},
		"take back in the epoch of the fence": {running, prepared, fenced, rec(owner.Receiving, 2, "islay", move2)},
		"commit what is not ready":            {receiving, committed},
		"commit what was given up":            {receiving, ready, aborted, committed},
		"give up what was committed":          {receiving, ready, committed, aborted},
		"receive from two":                    {receiving, rec(owner.Receiving, 2, "texel", move2)},
		"receive anew what is ready":          {receiving, ready, rec(owner.Receiving, 2, "curacao", move2)},
		"commit another move":                 {receiving, ready, rec(owner.Committed, 2, "curacao", move2)},
		"commit with another epoch":           {receiving, ready, rec(owner.Committed, 3, "curacao", move1)},
		"receive over what we own":            {running, rec(owner.Receiving, 2, "curacao", move1)},
		"run with a move":                     {rec(owner.Running, 1, "islay", move1)},
		"run a replica":                       {replicaOf("islay", 1), rec(owner.Running, 1, "", uuid.Nil)},
		"run a replica in a new epoch":        {replicaOf("islay", 1), rec(owner.Running, 2, "", uuid.Nil)},
		"promote in the epoch of the copy":    {replicaOf("islay", 1), rec(owner.Committed, 1, "islay", move1)},
		"promote what another host has":       {replicaOf("islay", 1), rec(owner.Committed, 2, "jura", move1)},
		"promote on a word of another host":   {replicaOf("jura", 1), overridden(owner.Committed, 2, "jura", move1)},
		"replica over what we own":            {running, replicaOf("islay", 2)},
		"replica over what is not given away": {running, prepared, fenced, replicaOf("islay", 2)},
		"replica of an older epoch":           {replicaOf("islay", 3), replicaOf("islay", 2)},
		"replica of nobody":                   {replicaOf("", 1)},
		"replica in a move":                   {rec(owner.Replica, 1, "islay", move1)},
		"epoch 0":                             {rec(owner.Running, 0, "", uuid.Nil)},
		"prepare without a number":            {running, rec(owner.Prepared, 1, "islay", uuid.Nil)},
		"unknown state":                       {running, rec("sleeping", 1, "islay", move1)},
		"override without a vouch":            {running, prepared, {UUID: guest, State: owner.Running, Epoch: 2, Override: owner.Override{Host: "islay"}}},
		"override of another host":            {receiving, ready, overridden(owner.Committed, 2, "curacao", move1)},
		"override of what is in no move":      {running, overridden(owner.Running, 2, "", uuid.Nil)},
		"override that begins a move":         {running, overridden(owner.Prepared, 1, "islay", move1)},
		"override that adds two epochs":       {running, prepared, overridden(owner.Running, 3, "", uuid.Nil)},
		"a new epoch without an override":     {running, prepared, rec(owner.Running, 2, "", uuid.Nil)},
		"commit what is not ready, vouched":   {receivingFrom("islay"), overridden(owner.Committed, 2, "islay", move1)},
		"no guest":                            {{State: owner.Running, Epoch: 1}},
	} {
		t.Run(name, func(t *testing.T) { assert.ErrorIs(t, put(t, chain...), owner.ErrTransition) })
	}
}

// Whatever is tried in whatever order, the epoch never goes back, and no host
// that handed a guest away may run it in the same epoch.
func TestAnyOrder(t *testing.T) {
	states := []owner.State{owner.Building, owner.Running, owner.Prepared, owner.Fenced, owner.Released,
		owner.Receiving, owner.Ready, owner.Committed, owner.Aborted, owner.Replica}
	rapid.Check(t, func(t *rapid.T) {
		var now owner.Record
		var handedAway uint64
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			to := rec(rapid.SampledFrom(states).Draw(t, "state"), now.Epoch+rapid.Uint64Range(0, 2).Draw(t, "epochs"),
				rapid.SampledFrom([]string{"", "islay"}).Draw(t, "peer"), rapid.SampledFrom([]uuid.UUID{uuid.Nil, move1, move2}).Draw(t, "move"))
			if rapid.Bool().Draw(t, "override") {
				to.Override = owner.Override{Host: "islay", Vouch: owner.Destroyed}
			}
			if now.Check(to) != nil {
				continue
			}
			if to.Epoch < now.Epoch {
				t.Fatalf("the epoch went back: %+v to %+v", now, to)
			}
			if to.State == owner.Fenced {
				handedAway = to.Epoch
			}
			if to.MayRun() == nil && handedAway >= to.Epoch {
				t.Fatalf("handed away in epoch %d, may run in %d", handedAway, to.Epoch)
			}
			now = to
		}
	})
}

func TestSupersedes(t *testing.T) {
	here := rec(owner.Running, 2, "", uuid.Nil)
	for s, does := range map[owner.State]bool{
		owner.Running: true, owner.Prepared: true, owner.Committed: true, owner.Fenced: true, owner.Released: true,
		owner.Receiving: false, owner.Ready: false, owner.Aborted: false, owner.Replica: false, owner.Building: false,
	} {
		assert.Equal(t, does, rec(s, 3, "curacao", move1).Supersedes(here), s)
		assert.False(t, rec(s, 2, "curacao", move1).Supersedes(here), s)
	}
	other := here
	other.UUID = uuid.New()
	assert.False(t, rec(owner.Running, 3, "", uuid.Nil).Supersedes(other))
}

func TestMayRun(t *testing.T) {
	for s, may := range map[owner.State]bool{
		owner.Running: true, owner.Prepared: true,
		owner.Building: false, owner.Fenced: false, owner.Released: false, owner.Receiving: false,
		owner.Ready: false, owner.Committed: false, owner.Aborted: false, owner.Replica: false, "sleeping": false, "": false,
	} {
		err := rec(s, 2, "islay", move1).MayRun()
		if may {
			assert.NoError(t, err, s)
		} else {
			assert.ErrorIs(t, err, owner.ErrNotOwner, s)
		}
	}
	assert.ErrorContains(t, rec(owner.Fenced, 2, "islay", move1).MayRun(), "handed to islay (epoch 2)")
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	s := owner.NewStore(dir, nil)
	_, err := s.Get(guest)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, s.Put(rec(owner.Running, 1, "", uuid.Nil)))
	got, err := owner.NewStore(dir, nil).Get(guest) // as another process reads it
	require.NoError(t, err)
	assert.Equal(t, owner.Running, got.State)
	assert.False(t, got.Since.IsZero())

	all, err := s.List()
	require.NoError(t, err)
	assert.Equal(t, []owner.Record{got}, all)

	// A record that can not be read stops everything; it is never "none".
	path := filepath.Join(dir, guest.String()+".owner.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"uuid":"11111111-`), 0o600))
	_, err = s.Get(guest)
	require.ErrorContains(t, err, path)
	require.Error(t, s.Put(rec(owner.Running, 1, "", uuid.Nil)))
	_, err = s.List()
	require.Error(t, err)

	require.NoError(t, s.Remove(guest))
	require.NoError(t, s.Remove(guest))
	_, err = s.Get(guest)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRecordOfAnotherGuestIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := owner.NewStore(dir, nil)
	require.NoError(t, s.Put(rec(owner.Running, 1, "", uuid.Nil)))
	other := uuid.New()
	require.NoError(t, os.Rename(filepath.Join(dir, guest.String()+".owner.json"), filepath.Join(dir, other.String()+".owner.json")))
	_, err := s.Get(other)
	require.ErrorContains(t, err, "is of guest "+guest.String())
}
