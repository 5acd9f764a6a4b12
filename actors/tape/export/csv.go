package export

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

func float(bits int64) float64 { return math.Float64frombits(uint64(bits)) }
func bitsOf(v float64) uint64  { return math.Float64bits(v) }

// csvFile is one file with a header and a row a tick.
type csvFile struct {
	file *os.File
	out  *bufio.Writer
	line []byte
	rows int64
	crc  uint32
	path string
	cols []column[tick]
}

func (x *exporter) createCSV() (*csvFile, error) {
	f, err := x.create(x.csvPath())
	if err != nil {
		return nil, err
	}
	c := &csvFile{file: f, out: bufio.NewWriterSize(f, 1<<20), path: x.csvPath(), cols: x.ticksCol}
	names := []string{"date", "exchange"} // Parquet has them in the names of its folders
	for _, column := range c.cols {
		names = append(names, column.name)
	}
	return c, c.put([]byte(strings.Join(names, ",") + "\n"))
}

func (c *csvFile) put(line []byte) error {
	c.crc = crc32.Update(c.crc, crc32.IEEETable, line)
	_, err := c.out.Write(line)
	return err
}

func (c *csvFile) row(t *tick) error {
	b := c.line[:0]
	b = appendDate(b, istDate(t.received))
	b = append(b, ',')
	b = append(b, t.instrument.exchange...)
	for i := range c.cols {
		b = append(b, ',')
		b = c.cols[i].csv(b, t)
	}
	b = append(b, '\n')
	c.line = b
	c.rows++
	return c.put(b)
}

func appendDate(b []byte, day int64) []byte {
	return time.Unix(day*86400, 0).UTC().AppendFormat(b, time.DateOnly)
}

// csv appends the value of a row; a null is empty.
func (c *column[R]) csv(b []byte, r *R) []byte {
	if c.kind == text {
		s := c.text(r)
		if strings.ContainsAny(s, ",\"\r\n") {
			s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
		return append(b, s...)
	}
	v, ok := c.value(r)
	if !ok {
		return b
	}
	switch c.kind {
	case instant:
		return time.UnixMicro(v).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	case date:
		return appendDate(b, v)
	case price:
		return strconv.AppendFloat(b, float(v), 'f', -1, 64)
	default:
		return strconv.AppendInt(b, v, 10)
	}
}

// close writes the rest, reads the file back and compares.
func (c *csvFile) close(x *exporter) error {
	defer c.file.Close()
	if err := errors.Join(c.out.Flush(), c.file.Sync()); err != nil {
		return err
	}
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var crc uint32
	lines := int64(-1) // the header
	buf := make([]byte, 1<<20)
	for {
		n, err := c.file.Read(buf)
		crc = crc32.Update(crc, crc32.IEEETable, buf[:n])
		lines += int64(bytes.Count(buf[:n], []byte("\n")))
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if crc != c.crc || lines != c.rows {
		return fmt.Errorf("%s was not written as it should be, and is left out: %d rows of %d came back", c.path, lines, c.rows)
	}
	x.report.Rows += c.rows
	return nil
}
