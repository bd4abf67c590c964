package producer

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go/compress"
)

// Compressor compresses the records of batches, one batch at a time. The zero value
// works. kafka-go's own codecs for lz4 and zstd are made for streams: they allocate for
// each batch, and they write a checksum of the content, which the checksum of the batch
// covers already. Without both, lz4 takes a quarter less time and zstd a twentieth.
type Compressor struct {
	zstd *zstd.Encoder
	lz4  *lz4.Writer
	out  []byte // what Write appends to
}

// zstdWindow is how far back zstd looks. A larger window finds little more among the
// records of a batch.
const zstdWindow = 64 << 10

// append appends the compressed form of raw to dst. It keeps neither.
func (c *Compressor) append(dst, raw []byte, how compress.Compression) ([]byte, error) {
	switch how {
	case compress.None:
		return append(dst, raw...), nil
	case compress.Zstd:
		if c.zstd == nil {
			// With a concurrency of one, the encoder starts no goroutine.
			var err error
			c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1),
				zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false))
			if err != nil {
				return dst, fmt.Errorf("zstd: %w", err)
			}
		}
		return c.zstd.EncodeAll(raw, dst), nil
	case compress.Lz4:
		if c.lz4 == nil {
			c.lz4 = lz4.NewWriter(nil)
			if err := c.lz4.Apply(lz4.BlockSizeOption(lz4.Block256Kb), lz4.ChecksumOption(false)); err != nil {
				return dst, fmt.Errorf("lz4: %w", err)
			}
		}
		c.lz4.Reset(c)
		return c.stream(c.lz4, dst, raw)
	case compress.Gzip, compress.Snappy:
	}
	return c.stream(how.Codec().NewWriter(c), dst, raw)
}

// stream compresses with a writer that writes to c.
func (c *Compressor) stream(w io.WriteCloser, dst, raw []byte) ([]byte, error) {
	c.out = dst
	_, err := w.Write(raw)
	if err == nil {
		err = w.Close()
	}
	dst, c.out = c.out, nil
	return dst, err
}

// Write implements io.Writer, for codecs.
func (c *Compressor) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}
