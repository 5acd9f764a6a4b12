package export

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	pzstd "github.com/parquet-go/parquet-go/compress/zstd"
)

const (
	groupRows = 1 << 20 // of a row group
	batchRows = 1 << 12 // written at once
)

// node is the type of a column in Parquet.
func (c *column[R]) node() parquet.Node {
	var n parquet.Node
	switch c.kind {
	case instant:
		n = parquet.Encoded(parquet.Timestamp(parquet.Microsecond), &parquet.DeltaBinaryPacked)
	case date:
		n = parquet.Encoded(parquet.Date(), &parquet.RLEDictionary)
	case number:
		n = parquet.Encoded(parquet.Int(64), &parquet.DeltaBinaryPacked)
	case price:
		n = parquet.Leaf(parquet.DoubleType)
	case flag:
		n = parquet.Leaf(parquet.BooleanType)
	default:
		n = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	}
	if c.optional {
		n = parquet.Optional(n)
	}
	return n
}

// ordered is a group whose columns keep their order.
type ordered struct {
	parquet.Group
	names []string
}

// Fields implements parquet.Node.
func (o ordered) Fields() []parquet.Field {
	fields := o.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(o.names, a.Name()) - slices.Index(o.names, b.Name())
	})
	return fields
}

// sums are a checksum of each column, over its values in their order.
type sums []uint64

// add takes a value up; a null has another sum than any value.
func (s sums) add(column int, v uint64, null bool) {
	if null {
		v = ^v * 3
	}
	s[column] = (s[column]^v)*0x9e3779b97f4a7c15 + 1
}

func textSum(s []byte) uint64 {
	v := uint64(0xcbf29ce484222325)
	for _, b := range s {
		v = (v ^ uint64(b)) * 0x100000001b3
	}
	return v
}

// writeParquet writes the rows of instruments into one file, sorted by instrument
// and the column time, reads it back and compares.
func writeParquet[R any](x *exporter, path, time string, columns []column[R], tokens []uint32, c *collector, rows func(uint32, func(*R) error) error) error {
	file, err := x.create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	group := ordered{Group: parquet.Group{}}
	for i := range columns {
		group.Group[columns[i].name] = columns[i].node()
		group.names = append(group.names, columns[i].name)
	}
	w := parquet.NewWriter(
		file, parquet.NewSchema("kitestring", group), parquet.Compression(&pzstd.Codec{Level: zstd.SpeedDefault}),
		parquet.CreatedBy("kitestring", "1", ""), parquet.DataPageStatistics(true), parquet.PageBufferSize(1<<20),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("instrument_token"), parquet.Ascending(time))),
	)
	written := make(sums, len(columns))
	var count, inGroup int64
	batch, texts := make([][]parquet.Value, len(columns)), make([]textValue, len(columns))
	flush := func() error {
		for i, cw := range w.ColumnWriters() {
			if _, err := cw.WriteRowValues(batch[i]); err != nil {
				return err
			}
			batch[i] = batch[i][:0]
		}
		return nil
	}
	for _, token := range tokens {
		err := rows(token, func(r *R) error {
			for i := range columns {
				batch[i] = append(batch[i], columns[i].parquet(r, i, written, &texts[i]))
			}
			count++
			inGroup++
			if len(batch[0]) < batchRows {
				return nil
			}
			if err := flush(); err != nil || inGroup < groupRows {
				return err
			}
			inGroup = 0
			return w.Flush()
		})
		if err != nil {
			return err
		}
		x.progress(int64(c.series[token].len()))
	}
	if err := errors.Join(flush(), w.Close(), file.Sync()); err != nil {
		return err
	}
	if err := readBack(file, count, written, columns); err != nil {
		return fmt.Errorf("%s was not written as it should be, and is left out: %w", path, err)
	}
	x.report.Rows += count
	return nil
}

// parquet is the value of a row, added to the checksums.
func (c *column[R]) parquet(r *R, at int, written sums, last *textValue) parquet.Value {
	if c.kind == text {
		s := c.text(r)
		if s == "" && c.optional {
			written.add(at, 0, true)
			return parquet.NullValue().Level(0, 0, at)
		}
		if s != last.text || last.value.IsNull() { // the same for rows on end
			bytes := []byte(s)
			*last = textValue{s, parquet.ByteArrayValue(bytes), textSum(bytes)}
		}
		written.add(at, last.sum, false)
		return last.value.Level(0, c.level(), at)
	}
	bits, ok := c.value(r)
	if !ok {
		written.add(at, 0, true)
		return parquet.NullValue().Level(0, 0, at)
	}
	written.add(at, uint64(bits), false)
	return c.fixed(bits).Level(0, c.level(), at)
}

// textValue is a text as a value, with its checksum.
type textValue struct {
	text  string
	value parquet.Value
	sum   uint64
}

// level is the definition level of a value that is there.
func (c *column[R]) level() int {
	if c.optional {
		return 1
	}
	return 0
}

// fixed is a value that is no text.
func (c *column[R]) fixed(bits int64) parquet.Value {
	switch c.kind {
	case date:
		return parquet.Int32Value(int32(bits))
	case price:
		return parquet.DoubleValue(float(bits))
	case flag:
		return parquet.BooleanValue(bits != 0)
	default:
		return parquet.Int64Value(bits)
	}
}

// readBack reads a whole file and compares the number of rows and the checksum
// of each column.
func readBack[R any](file *os.File, rows int64, written sums, columns []column[R]) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f, err := parquet.OpenFile(file, info.Size())
	if err != nil {
		return err
	}
	if f.NumRows() != rows {
		return fmt.Errorf("%d rows instead of %d", f.NumRows(), rows)
	}
	read := make(sums, len(columns))
	values := make([]parquet.Value, batchRows)
	for _, group := range f.RowGroups() {
		for i, chunk := range group.ColumnChunks() {
			if err := readChunk(chunk, values, func(v parquet.Value) {
				switch {
				case v.IsNull():
					read.add(i, 0, true)
				case columns[i].kind == text:
					read.add(i, textSum(v.ByteArray()), false)
				case columns[i].kind == price:
					read.add(i, bitsOf(v.Double()), false)
				case columns[i].kind == date:
					read.add(i, uint64(v.Int32()), false)
				case columns[i].kind == flag:
					read.add(i, map[bool]uint64{true: 1}[v.Boolean()], false)
				default:
					read.add(i, uint64(v.Int64()), false)
				}
			}); err != nil {
				return err
			}
		}
	}
	for i := range columns {
		if read[i] != written[i] {
			return fmt.Errorf("column %s came back with other values", columns[i].name)
		}
	}
	return nil
}

func readChunk(chunk parquet.ColumnChunk, values []parquet.Value, each func(parquet.Value)) error {
	pages := chunk.Pages()
	defer pages.Close()
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for reader := page.Values(); ; {
			n, err := reader.ReadValues(values)
			for _, v := range values[:n] {
				each(v)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		parquet.Release(page)
	}
}
