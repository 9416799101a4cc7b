package migrate

import (
	"context"
	"io"

	"github.com/xenhost/xenhost/migrate/handover"
)

func (s *remoteSide) Compare(ctx context.Context, dev string) (key [32]byte, err error) {
	err = s.do(ctx, verbCompare, diskArgs{dev}, &key)
	return key, err
}

func (s *remoteSide) Learn(ctx context.Context, dev string, r io.Reader) error {
	return s.r.call(ctx, call{verb: verbLearn, hold: s.id, args: diskArgs{dev}, up: uploads(r)})
}

func (s *remoteSide) Hashes(ctx context.Context, dev string, key [32]byte, w io.Writer) error {
	return s.r.call(ctx, call{verb: verbHashes, hold: s.id, args: hashesArgs{dev, key}, down: w})
}

// uploads sends all of r behind a request.
func uploads(r io.Reader) func(io.Writer) error {
	return func(w io.Writer) error {
		data := chunkWriter{w}
		if _, err := io.CopyBuffer(data, justReader{r}, make([]byte, 256<<10)); err != nil {
			return err
		}
		return data.Close()
	}
}

// compare answers the verbs of a copy of which the target has an old one.
func compare(ctx context.Context, side *handover.Local, req request, stream io.ReadWriter) (any, error) {
	switch req.Verb {
	case verbHashes:
		a, err := args[hashesArgs](req)
		data := chunkWriter{stream}
		if err == nil {
			err = side.Hashes(ctx, a.Dev, a.Key, data)
		}
		// The reply comes behind the data, also of one that failed.
		if closeErr := data.Close(); err == nil {
			err = closeErr
		}
		return nil, err
	case verbLearn:
		a, err := args[diskArgs](req)
		if err != nil {
			return nil, err
		}
		return nil, side.Learn(ctx, a.Dev, &chunkReader{r: stream})
	}
	a, err := args[diskArgs](req)
	if err != nil {
		return nil, err
	}
	return side.Compare(ctx, a.Dev)
}
