package privcmd

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// xen0 answers as Xen 4.17 does.
type xen0 struct {
	memory  []byte
	domains [][]byte // by domid, from 0
	size    int      // bytes a domain
	closed  bool
	err     error
}

func (x *xen0) buffer() ([]byte, uint64) { return x.memory, 0 }
func (x *xen0) Close() error             { x.closed = true; return nil }

func (x *xen0) call(op, arg uint64) error {
	if x.err != nil {
		return x.err
	}
	request := x.memory[arg:]
	first, most := binary.LittleEndian.Uint16(request[8:]), binary.LittleEndian.Uint32(request[12:])
	list := x.memory[binary.LittleEndian.Uint64(request[16:]):]
	if op != 35 || binary.LittleEndian.Uint32(request) != 6 || binary.LittleEndian.Uint32(request[4:]) != 0x15 {
		return errors.New("not the call that is expected")
	}
	n := uint32(0)
	for _, d := range x.domains {
		if binary.LittleEndian.Uint16(d) >= first && n < most {
			copy(list[int(n)*x.size:], append(d, make([]byte, x.size)...)[:x.size])
			n++
		}
	}
	binary.LittleEndian.PutUint32(request[24:], n)
	return nil
}

// info makes one struct.
func info(domid uint16, flags uint32, pages, cpu uint64, vcpus uint32, id uuid.UUID) []byte {
	b := make([]byte, infoSize)
	binary.LittleEndian.PutUint16(b, domid)
	binary.LittleEndian.PutUint32(b[4:], flags)
	binary.LittleEndian.PutUint64(b[8:], pages)
	binary.LittleEndian.PutUint64(b[56:], cpu)
	binary.LittleEndian.PutUint32(b[64:], vcpus)
	copy(b[76:], id[:])
	return b
}

var web1 = uuid.MustParse("94e7755d-4816-4f40-b6cd-928ff0d41862")

func newXen(domains ...[]byte) *xen0 {
	return &xen0{memory: make([]byte, listAt+listSize), size: infoSize,
		domains: append([][]byte{info(0, 1<<5, 230400, 1e9, 1, uuid.Nil)}, domains...)}
}

func TestList(t *testing.T) {
	x := newXen(
		info(3, 1<<2|1<<16, 32768, 7, 1, web1),
		info(4, 1<<5|1<<1, 32769, 123456789012, 2, web1),
	)
	h, err := open(x)
	require.NoError(t, err)
	list, err := h.List(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []xen.Domain{
		{UUID: web1, ID: 3, State: xen.Stopped, Reason: xen.Reboot, Memory: 128 << 20, VCPUs: 1, CPUTime: 7},
		{UUID: web1, ID: 4, State: xen.Running, Memory: 128<<20 + 4096, VCPUs: 2, CPUTime: 123456789012 * time.Nanosecond},
	}, list)
	one, err := h.Lookup(t.Context(), web1)
	require.NoError(t, err)
	assert.Equal(t, 4, one.ID, "the one that runs")
	_, err = h.Lookup(t.Context(), uuid.New())
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, h.Close())
	require.NoError(t, h.Close(), "again")
	assert.True(t, x.closed)
	_, err = h.List(t.Context())
	require.ErrorIs(t, err, os.ErrClosed)
}

// More domains than fit into one call.
func TestListOfMany(t *testing.T) {
	var all [][]byte
	for i := range uint16(3*perCall + 5) {
		all = append(all, info(2*i+1, 0, 1, 0, 1, web1))
	}
	h, err := open(newXen(all...))
	require.NoError(t, err)
	list, err := h.List(t.Context())
	require.NoError(t, err)
	require.Len(t, list, len(all))
	assert.Equal(t, 2*(len(all)-1)+1, list[len(list)-1].ID)
}

func TestStates(t *testing.T) {
	for _, tc := range []struct {
		flags  uint32
		state  xen.State
		reason xen.Reason
	}{
		{0, xen.Running, ""}, {1 << 4, xen.Running, ""}, {1 << 3, xen.Paused, ""},
		{1 << 2, xen.Stopped, xen.Poweroff}, {1<<2 | 1<<16, xen.Stopped, xen.Reboot}, {1<<2 | 2<<16, xen.Suspended, xen.Suspend},
		{1<<2 | 3<<16, xen.Crashed, xen.Crash}, {1<<2 | 4<<16, xen.Crashed, xen.Watchdog}, {1<<2 | 5<<16, xen.Stopped, xen.SoftReset},
		{1<<2 | 9<<16, xen.Stopped, ""}, {1 | 1<<2, xen.Dying, xen.Poweroff}, {3 << 16, xen.Running, ""},
	} {
		d := parse(info(1, tc.flags, 1, 0, 1, web1))
		assert.Equal(t, tc.state, d.State, "%#x", tc.flags)
		assert.Equal(t, tc.reason, d.Reason, "%#x", tc.flags)
	}
	assert.Equal(t, xen.Building, parse(info(1, 1<<3, 0, 0, 1, web1)).State)
	assert.Equal(t, xen.Building, parse(info(1, 1<<3, 1, 0, 0, web1)).State)
}

// A Xen that answers with anything else is refused before a number is believed.
func TestOtherXen(t *testing.T) {
	for name, change := range map[string]func(x *xen0){
		"longer":     func(x *xen0) { x.size = 120 },
		"shorter":    func(x *xen0) { x.size = 104 },
		"no domains": func(x *xen0) { x.domains = nil },
		"not dom0":   func(x *xen0) { x.domains = x.domains[1:] },
		"no vCPUs":   func(x *xen0) { x.domains[0] = info(0, 0, 1, 1, 0, uuid.Nil) },
		"version":    func(x *xen0) { x.err = errors.ErrUnsupported },
	} {
		t.Run(name, func(t *testing.T) {
			x := newXen(info(1, 0, 1, 0, 1, web1))
			change(x)
			_, err := open(x)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			assert.True(t, x.closed)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(info(1, 1<<2, 1, 1, 1, web1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < infoSize {
			return
		}
		d := parse(b[:infoSize])
		require.GreaterOrEqual(t, d.Memory, int64(0))
		require.GreaterOrEqual(t, d.CPUTime, time.Duration(0))
		require.NotEmpty(t, d.State)
	})
}
