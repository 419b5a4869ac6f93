//! A Parquet file in the making: row groups, and at the end what they are.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
    SortingColumn,
};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, TypePtr};

use crate::record::parquet::format::checksum;
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::page::PageHeader;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::write::encode::{EncodedChunk, Encoder};

const MAGIC: &[u8] = b"PAR1";

/// A Parquet file in the making, sorted by its first column.
pub struct TableWriter<W: Write> {
    out: W,
    /// Bytes written.
    at: u64,
    schema: SchemaDescPtr,
    /// Makes the columns that are written.
    pub encoder: Encoder,
    groups: Vec<RowGroupMetaData>,
    /// The columns of the row group that is being written.
    columns: Vec<ColumnChunkMetaData>,
}

impl<W: Write> TableWriter<W> {
    /// Begins a file with these columns.
    pub fn new(mut out: W, schema: &TypePtr) -> Result<Self, ParquetError> {
        out.write_all(MAGIC)?;
        Ok(Self {
            out,
            at: MAGIC.len() as u64,
            schema: Arc::new(SchemaDescriptor::new(Arc::clone(schema))),
            encoder: Encoder::new()?,
            groups: Vec::new(),
            columns: Vec::new(),
        })
    }

    /// What is written to.
    pub const fn inner(&self) -> &W {
        &self.out
    }

    /// Bytes written so far.
    pub const fn len(&self) -> u64 {
        self.at
    }

    /// Writes bytes that are of no column.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the next column of a row group.
    pub fn column(&mut self, chunk: EncodedChunk) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("a row group has a column too many".to_owned());
        let column = self.schema.columns().get(self.columns.len()).ok_or_else(missing)?;
        let start = i64::try_from(self.at)?;
        let mut metadata = ColumnChunkMetaData::builder(Arc::clone(column))
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(chunk.encodings())
            .set_num_values(i64::try_from(chunk.rows)?)
            .set_total_compressed_size(i64::try_from(chunk.bytes.len())?)
            .set_total_uncompressed_size(i64::try_from(chunk.uncompressed)?)
            .set_dictionary_page_offset(chunk.dictionary.map(|_| start))
            .set_data_page_offset(start + i64::try_from(chunk.dictionary.unwrap_or(0))?);
        if let Some(statistics) = chunk.statistics {
            metadata = metadata.set_statistics(statistics);
        }
        self.columns.push(metadata.build()?);
        self.write(&chunk.bytes)?;
        Ok(())
    }

    /// Ends a row group of so many rows, whose columns have all been written.
    pub fn end_group(&mut self, rows: usize) -> Result<(), ParquetError> {
        let columns = std::mem::take(&mut self.columns);
        let bytes: i64 = columns.iter().map(ColumnChunkMetaData::uncompressed_size).sum();
        let first = columns.first().map(|column| column.dictionary_page_offset().unwrap_or(column.data_page_offset()));
        let group = RowGroupMetaData::builder(Arc::clone(&self.schema))
            .set_column_metadata(columns)
            .set_total_byte_size(bytes)
            .set_num_rows(i64::try_from(rows)?)
            .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
            .set_ordinal(i32::try_from(self.groups.len())?)
            .set_file_offset(first.unwrap_or(0))
            .build()?;
        self.groups.push(group);
        Ok(())
    }

    /// Copies a row group of `source`, a file of the same columns whose pages have checksums, as it is.
    pub fn copy_group(&mut self, source: &FileRange, group: &RowGroupMetaData) -> Result<(), ParquetError> {
        let damaged = |damage: Damage| ParquetError::General(damage.to_string());
        let (mut head, mut buffer) = (Vec::new(), Vec::new());
        for column in group.columns() {
            if self.schema.columns().get(self.columns.len()) != Some(&column.column_descr_ptr()) {
                return Err(ParquetError::General("it has other columns".to_owned()));
            }
            let (start, len) = (column.byte_range().0, column.byte_range().1);
            let moved = |offset: i64| -> Result<i64, ParquetError> {
                Ok(offset - i64::try_from(start)? + i64::try_from(self.at)?)
            };
            let metadata = column
                .clone()
                .into_builder()
                .set_data_page_offset(moved(column.data_page_offset())?)
                .set_dictionary_page_offset(column.dictionary_page_offset().map(moved).transpose()?)
                .build()?;
            let mut next = start;
            while next < start + len {
                let header = PageHeader::read(source, next, start + len, true).map_err(damaged)?;
                header.check_size().map_err(damaged)?;
                let body = next + header.len;
                source.read(body, header.compressed, &mut buffer).map_err(damaged)?;
                header.check(&buffer).map_err(damaged)?;
                next = body + header.compressed as u64;
                source.read(body - header.len, usize::try_from(header.len)?, &mut head).map_err(damaged)?;
                self.write(&head)?;
                self.write(&buffer)?;
            }
            self.columns.push(metadata);
        }
        self.end_group(usize::try_from(group.num_rows())?)
    }

    /// Ends the file, with these notes in it.
    pub fn finish(&mut self, notes: Vec<(&str, String)>) -> Result<(), ParquetError> {
        let rows = self.groups.iter().map(RowGroupMetaData::num_rows).sum();
        let note = |(key, value): (&str, String)| KeyValue::new(key.to_owned(), value);
        let notes = notes.into_iter().chain([(checksum::NOTE, checksum::UNKNOWN.to_owned())]).map(note).collect();
        let by = concat!("psn version ", env!("CARGO_PKG_VERSION")).to_owned();
        let file = FileMetaData::new(1, rows, Some(by), Some(notes), Arc::clone(&self.schema), None);
        let metadata = ParquetMetaData::new(file, std::mem::take(&mut self.groups));
        let mut footer = Vec::new();
        ParquetMetaDataWriter::new(&mut footer, &metadata).finish()?;
        // Behind the metadata are their length and four letters.
        if let Some((metadata, _)) = footer.split_last_chunk_mut::<8>() {
            checksum::write(metadata, self.at);
        }
        self.write(&footer)?;
        self.out.flush()?;
        Ok(())
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

    /// Others can read it: here, the crate's own reader.
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
