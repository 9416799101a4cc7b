package xentest_test

import (
	"bytes"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xentest"
)

// FuzzRestore gives a stream that is damaged: the domain is there, or there is
// an error and nothing.
func FuzzRestore(f *testing.F) {
	spec := guest("web1")
	host := xentest.New(nil)
	_, err := host.Create(f.Context(), spec, nil)
	require.NoError(f, err)
	var image bytes.Buffer
	require.NoError(f, host.Save(f.Context(), spec.UUID, &image, nil))
	for _, at := range []int{0, 21, 24, 25, 200, image.Len() - 30, image.Len() - 1} {
		f.Add(at, []byte("\xff"))
		f.Add(at, []byte{})
	}
	f.Fuzz(func(t *testing.T, at int, with []byte) {
		text := bytes.Clone(image.Bytes())
		if at >= 0 && at < len(text) {
			if len(with) == 0 {
				text = text[:at] // cut off
			}
			copy(text[min(at, len(text)):], with)
		}
		host := xentest.New(nil)
		_, err := host.Restore(t.Context(), spec, bytes.NewReader(text), nil)
		_, gone := host.Lookup(t.Context(), spec.UUID)
		if err != nil {
			require.ErrorIs(t, gone, fs.ErrNotExist)
		} else {
			require.NoError(t, gone)
		}
		if len(text) < image.Len() {
			require.Error(t, err)
		}
	})
}
