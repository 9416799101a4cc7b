package replica_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

const diskSize = 4 << 20

// world is curacao with a guest of two disks, and islay, which keeps it.
type world struct {
	*testing.T
	*migratetest.World
	dir   string
	guest host.Guest
	rand  *rand.Rand
}

// newWorld has a guest that is off, so that the test is the only writer.
func newWorld(t *testing.T) *world { return newWorldOf(t, "curacao", "islay") }

func newWorldOf(t *testing.T, hosts ...string) *world {
	t.Helper()
	return newWorldIn(t, &migratetest.Options{Names: hosts})
}

func newWorldIn(t *testing.T, opts *migratetest.Options) *world {
	t.Helper()
	dir := t.TempDir()
	inner, err := migratetest.NewWorld(dir, opts)
	require.NoError(t, err)
	t.Cleanup(inner.Close)
	w := &world{T: t, World: inner, dir: dir, rand: rand.New(rand.NewPCG(1, 2))}
	g := w.Guest("web1", diskSize)
	g.Disks = append(g.Disks, host.Disk{Dev: "xvdb", Volume: lvm.ID{Group: "guests", Name: "web1-data"}, Size: diskSize})
	w.guest, err = w.Host("curacao").Provision(t.Context(), g, &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	w.write(0, make([]byte, 100<<10))
	return w
}

// write fills some places of both disks on curacao with new bytes.
func (w *world) write(at int64, piece []byte) {
	w.Helper()
	for _, d := range w.guest.Disks {
		device, err := w.Machine("curacao").Volumes.Open(w.Context(), d.Volume)
		require.NoError(w, err)
		for i := range piece {
			piece[i] = byte(w.rand.Uint32())
		}
		_, err = device.WriteAt(piece, at)
		require.NoError(w, err)
		require.NoError(w, device.Close())
	}
}

// define changes the guest's definition on curacao, as an admin's editor does.
func (w *world) define(change func(*host.Guest)) {
	w.Helper()
	path := filepath.Join(w.dir, "curacao", "state", "guests", w.guest.UUID.String()+".json")
	var file struct {
		Format int        `json:"format"`
		Guest  host.Guest `json:"guest"`
	}
	text, err := os.ReadFile(path)
	require.NoError(w, err)
	require.NoError(w, json.Unmarshal(text, &file))
	change(&file.Guest)
	text, err = json.Marshal(file)
	require.NoError(w, err)
	require.NoError(w, os.WriteFile(path, text, 0o600))
	w.guest = file.Guest
}

// with looks at a volume, which is off afterwards if it was.
func (w *world) with(on string, d host.Disk, look func(path string)) {
	w.Helper()
	volumes := w.Machine(on).Volumes
	v, err := volumes.Volume(w.Context(), d.Volume)
	require.NoError(w, err)
	if !v.Active {
		require.NoError(w, volumes.Activate(w.Context(), v.ID))
		defer func() { require.NoError(w, volumes.Deactivate(w.Context(), v.ID)) }()
	}
	look(v.Path)
}

// sums are the SHA-256 of the guest's disks on a host, by Disk.Dev.
func (w *world) sums(on string) map[string]string {
	w.Helper()
	all := make(map[string]string)
	for _, d := range w.guest.Disks {
		w.with(on, d, func(path string) {
			text, err := os.ReadFile(path)
			require.NoError(w, err)
			sum := sha256.Sum256(text)
			all[d.Dev] = hex.EncodeToString(sum[:])
		})
	}
	return all
}

func (w *world) dial() *migrate.Remote {
	w.Helper()
	r, err := w.Dial(w.Context(), "curacao", "islay")
	require.NoError(w, err)
	w.Cleanup(func() { r.Close() })
	return r
}

// copy runs one run.
func (w *world) copy(ctx context.Context, peer replica.Peer, opts *replica.Options) (replica.Report, error) {
	plan, err := replica.PlanCopy(ctx, w.Host("curacao"), peer, w.guest.UUID, opts)
	if err != nil {
		return replica.Report{}, err
	}
	return plan.Run(ctx)
}

// copied is a run that must work: the peer then has what curacao has.
func (w *world) copied(opts *replica.Options) replica.Report {
	w.Helper()
	want := w.sums("curacao")
	r := w.dial()
	report, err := w.copy(w.Context(), r, opts)
	require.NoError(w, err)
	require.NoError(w, r.Close())
	require.NotNil(w, report.Generation)
	require.Equal(w, want, w.sums("islay"))
	w.atRest()
	return report
}

// atRest checks that nothing can start from the replica.
func (w *world) atRest() {
	w.Helper()
	s, err := w.Host("islay").Guest(w.Context(), w.guest.UUID)
	require.NoError(w, err)
	require.Equal(w, owner.Replica, s.Owner.State)
	require.ErrorIs(w, s.Owner.MayRun(), owner.ErrNotOwner)
	require.Len(w, s.Volumes, len(w.guest.Disks))
	for _, v := range s.Volumes {
		require.True(w, v.Skip && !v.Active, "%+v", v)
	}
	require.ErrorIs(w, w.Host("islay").Start(w.Context(), w.guest.UUID), owner.ErrNotOwner)
}

// snapshots are those that runs left on curacao.
func (w *world) snapshots() []host.ReplicaSnapshot {
	w.Helper()
	all, err := w.Host("curacao").SnapshotsFor(w.Context(), w.guest.UUID, "islay")
	require.NoError(w, err)
	return all
}

// flip changes a byte of a volume on a host.
func (w *world) flip(on string, d host.Disk, at int64) {
	w.Helper()
	w.with(on, d, func(path string) {
		text, err := os.ReadFile(path)
		require.NoError(w, err)
		text[at] ^= 0x40
		require.NoError(w, os.WriteFile(path, text, 0o600))
	})
}

// withVolume tells the SHA-256 of any volume.
func (w *world) withVolume(on string, id lvm.ID, look func(sum string)) {
	w.Helper()
	w.with(on, host.Disk{Volume: id}, func(path string) {
		text, err := os.ReadFile(path)
		require.NoError(w, err)
		sum := sha256.Sum256(text)
		look(hex.EncodeToString(sum[:]))
	})
}

// loser is a peer whose answers to Commit are lost.
type loser struct {
	replica.Peer
	err error
}

func (l loser) Keep(ctx context.Context, guest uuid.UUID) (replica.Keeper, error) {
	k, err := l.Peer.Keep(ctx, guest)
	return loserKeeper{k, l.err}, err
}

type loserKeeper struct {
	replica.Keeper
	err error
}

func (l loserKeeper) Commit(ctx context.Context, g replica.Generation) (replica.Generation, error) {
	_, err := l.Keeper.Commit(ctx, g)
	if err == nil {
		err = l.err
	}
	return replica.Generation{}, err
}

// breaker is a peer to which something happens before each Commit.
type breaker struct {
	replica.Peer
	before func()
}

func (b breaker) Keep(ctx context.Context, guest uuid.UUID) (replica.Keeper, error) {
	k, err := b.Peer.Keep(ctx, guest)
	return breakerKeeper{k, b.before}, err
}

type breakerKeeper struct {
	replica.Keeper
	before func()
}

func (b breakerKeeper) Commit(ctx context.Context, g replica.Generation) (replica.Generation, error) {
	b.before()
	return b.Keeper.Commit(ctx, g)
}
