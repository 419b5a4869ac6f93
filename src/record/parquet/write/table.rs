//! Writes a Parquet file with the `parquet` crate. The pages are those of [`Encoder`], appended as they are.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, RowGroupMetaData, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, TypePtr};

use crate::record::parquet::format::checksum;
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::page::PageHeader;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::write::encode::{EncodedChunk, Encoder};

/// Writes a Parquet file, sorted by its first column.
pub(crate) struct TableWriter<W: Write + Send> {
    file: SerializedFileWriter<FooterHolder<W>>,
    schema: SchemaDescPtr,
    encoder: Encoder,
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a file with these columns.
    pub(crate) fn new(out: W, schema: &TypePtr) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("psn version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
            .set_offset_index_disabled(true)
            .build();
        let out = FooterHolder { out, footer: None };
        Ok(Self {
            file: SerializedFileWriter::new(out, Arc::clone(schema), Arc::new(properties))?,
            schema: Arc::new(SchemaDescriptor::new(Arc::clone(schema))),
            encoder: Encoder::new()?,
        })
    }

    /// Where the file is written to.
    pub(crate) fn inner(&self) -> &W {
        &self.file.inner().out
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        self.file.bytes_written() as u64
    }

    /// Writes bytes that belong to no column.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Begins a row group.
    pub(crate) fn row_group(&mut self) -> Result<RowGroupWriter<'_, W>, ParquetError> {
        let group = self.file.next_row_group()?;
        Ok(RowGroupWriter { group, schema: &self.schema, encoder: &mut self.encoder, columns: 0 })
    }

    /// Copies a row group of `source`, a file of the same columns whose pages have checksums, as it is.
    pub(crate) fn copy_group(&mut self, source: &FileRange, group: &RowGroupMetaData) -> Result<(), ParquetError> {
        let mut copy = self.file.next_row_group()?;
        for column in group.columns() {
            let (start, len) = column.byte_range();
            let chunk = ChunkToCopy { file: source.clone(), end: start.saturating_add(len) };
            copy.append_column(&chunk, close_result(column.clone(), u64::try_from(group.num_rows())?, len))?;
        }
        copy.close()?;
        Ok(())
    }

    /// Ends the file, with these notes in its metadata.
    pub(crate) fn finish(&mut self, notes: Vec<(&str, String)>) -> Result<(), ParquetError> {
        // The checksum is the last note.
        for (key, value) in notes.into_iter().chain([(checksum::NOTE, checksum::UNKNOWN.to_owned())]) {
            self.file.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        let body = self.len();
        self.file.flush()?;
        self.file.inner_mut().footer = Some(Vec::new());
        self.file.finish()?;
        let FooterHolder { out, footer } = self.file.inner_mut();
        let mut footer = footer.take().unwrap_or_default();
        // Behind the metadata are their length and four letters.
        if let Some((metadata, _)) = footer.split_last_chunk_mut::<8>() {
            checksum::write(metadata, body);
        }
        out.write_all(&footer)?;
        out.flush()?;
        Ok(())
    }
}

/// Writes a row group.
pub(crate) struct RowGroupWriter<'a, W: Write + Send> {
    group: SerializedRowGroupWriter<'a, FooterHolder<W>>,
    schema: &'a SchemaDescPtr,
    /// Makes the columns that are written.
    pub(crate) encoder: &'a mut Encoder,
    /// How many columns are written.
    columns: usize,
}

impl<W: Write + Send> RowGroupWriter<'_, W> {
    /// Writes the next column.
    pub(crate) fn column(&mut self, chunk: EncodedChunk) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("a row group has a column too many".to_owned());
        let column = self.schema.columns().get(self.columns).ok_or_else(missing)?;
        self.columns += 1;
        let dictionary = chunk.dictionary.map(|_| 0);
        let mut metadata = ColumnChunkMetaData::builder(Arc::clone(column))
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(chunk.encodings())
            .set_num_values(i64::try_from(chunk.rows)?)
            .set_total_compressed_size(i64::try_from(chunk.bytes.len())?)
            .set_total_uncompressed_size(i64::try_from(chunk.uncompressed)?)
            .set_dictionary_page_offset(dictionary)
            .set_data_page_offset(i64::try_from(chunk.dictionary.unwrap_or(0))?);
        if let Some(statistics) = chunk.statistics {
            metadata = metadata.set_statistics(statistics);
        }
        let (rows, bytes) = (chunk.rows as u64, chunk.bytes.len() as u64);
        self.group.append_column(&Bytes::from(chunk.bytes), close_result(metadata.build()?, rows, bytes))
    }

    /// Ends the row group, all of whose columns have been written.
    pub(crate) fn finish(self) -> Result<(), ParquetError> {
        self.group.close().map(drop)
    }
}

/// What the crate needs to know about an encoded column.
const fn close_result(metadata: ColumnChunkMetaData, rows_written: u64, bytes_written: u64) -> ColumnCloseResult {
    ColumnCloseResult {
        bytes_written,
        rows_written,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    }
}

/// Passes on what is written, but keeps the footer until its checksum is in it.
struct FooterHolder<W> {
    out: W,
    /// The footer, once it is being written.
    footer: Option<Vec<u8>>,
}

impl<W: Write> Write for FooterHolder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.footer {
            Some(footer) => footer.write(bytes),
            None => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A column to copy. Its pages are checked, so that a damaged part does not spoil what it is merged with.
struct ChunkToCopy {
    file: FileRange,
    /// The offset behind its last page.
    end: u64,
}

impl Length for ChunkToCopy {
    fn len(&self) -> u64 {
        self.end
    }
}

impl ChunkReader for ChunkToCopy {
    type T = CheckedPages;

    fn get_read(&self, start: u64) -> Result<CheckedPages, ParquetError> {
        Ok(CheckedPages { file: self.file.clone(), next: start, end: self.end, page: io::Cursor::default() })
    }

    fn get_bytes(&self, _: u64, _: usize) -> Result<Bytes, ParquetError> {
        Err(ParquetError::NYI("pages that are copied are read in order".to_owned()))
    }
}

/// Reads pages with their headers, and fails if a checksum is wrong.
struct CheckedPages {
    file: FileRange,
    /// The offset of the next page.
    next: u64,
    end: u64,
    /// The page that is being read, with its header.
    page: io::Cursor<Vec<u8>>,
}

impl CheckedPages {
    fn load(&mut self) -> Result<(), Damage> {
        let header = PageHeader::read(&self.file, self.next, self.end, true)?;
        header.check_size()?;
        let head = usize::try_from(header.len).unwrap_or(usize::MAX);
        self.file.read(self.next, head.saturating_add(header.compressed), self.page.get_mut())?;
        header.check(self.page.get_ref().get(head..).unwrap_or_default())?;
        self.next += self.page.get_ref().len() as u64;
        self.page.set_position(0);
        Ok(())
    }
}

impl Read for CheckedPages {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.page.position() >= self.page.get_ref().len() as u64 && self.next < self.end {
            self.load().map_err(io::Error::other)?;
        }
        self.page.read(out)
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    use crate::record::fixture::{COLUMNS, Directory, START, header, parts, tick};
    use crate::record::parquet::{DatasetOptions, create};
    use crate::row::observation::{Mark, Value};
    use crate::row::rows::Rows;

    /// Other readers can read it: here that of the `parquet` crate.
    #[test]
    fn engines_read_what_is_written() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, DatasetOptions::default()).unwrap();
        let distinct = |number: u64| format!("text number {number} of far more than a dictionary can hold");
        for number in 0..20_000_u64 {
            let mut rows = Rows::new(COLUMNS.len());
            rows.push(Value::Number(1));
            rows.push(Value::Number((number % 300).into()));
            rows.push(Value::Number(i128::from(number) << 33));
            rows.push(Value::Text(b"R"));
            rows.push(Value::Text(distinct(number).as_bytes()));
            rows.push(if number % 7 == 0 { Value::Mark(Mark::Gone) } else { Value::Number((number * 3).into()) });
            rows.push(Value::Mark(Mark::Denied));
            sink.add(&tick(number, START), &mut vec![rows]).unwrap();
        }
        sink.finish(None).unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(&parts(&root.path)[0]).unwrap()).unwrap();
        let mut count = 0;
        for (number, row) in (0_u64..).zip(reader.get_row_iter(None).unwrap()) {
            let fields: Vec<Field> = row.unwrap().into_columns().into_iter().map(|(_, field)| field).collect();
            let long = |number: u64| Field::Long(number.cast_signed());
            let text = |text: &str| Field::Str(text.to_owned());
            let [tick_number, time, seconds, rest @ ..] = &fields[..] else { panic!("{fields:?}") };
            assert_eq!(*tick_number, long(number));
            assert_eq!(*time, Field::TimestampMicros((tick(number, START).time_ns / 1000).cast_signed()));
            assert_eq!(*seconds, Field::Double(0.1));
            assert_eq!(rest[..2], [long(1), Field::Null]);
            assert_eq!(rest[2..4], [long(number % 300), Field::Null]);
            assert_eq!(rest[4..6], [long(number << 33), Field::Null]);
            assert_eq!(rest[6..8], [text("R"), text(&distinct(number))]);
            if number % 7 == 0 {
                assert_eq!(rest[8..10], [Field::Null, text("[gone]")]);
            } else {
                assert_eq!(rest[8].to_string(), format!("{:.2}", (number * 3) as f64 / 100.0));
                assert_eq!(rest[9], Field::Null);
            }
            assert_eq!(rest[10], text("[denied]"));
            count += 1;
        }
        assert_eq!(count, 20_000);
        let group = reader.metadata().row_group(0);
        let bounds = |column: usize| {
            let statistics = group.column(column).statistics().unwrap();
            (statistics.min_bytes_opt().map(<[u8]>::to_vec), statistics.null_count_opt())
        };
        assert_eq!(bounds(5), (Some(0_i64.to_le_bytes().to_vec()), Some(0)));
        assert_eq!(bounds(6), (None, Some(20_000)));
        assert_eq!(bounds(13), (Some(b"[denied]".to_vec()), Some(0)));
    }
}
