//! Reads rows with some of the columns, one row group after another.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::footer::{Footer, PhysicalType};
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::schema;
use crate::record::parquet::read::column::{ColumnReader, DecodedNumbers, NO_TEXT};
use crate::record::parquet::read::memory::ReadMemory;
use crate::row::observation::{Mark, Value};
use crate::row::rows::Rows;

/// How many rows are decoded at once.
const BATCH: usize = 4096;

/// The size of rows, in bytes, after which [`RowReader::read`] returns. It is their size in memory: in the file, a text of
/// many rows may be there once.
const PIECE_BYTES: usize = 4 << 20;

/// The most bytes of a row.
const MAX_ROW_BYTES: usize = 4 << 20;

/// A column to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedColumn {
    pub name: String,
    /// Whether its values are numbers.
    pub is_number: bool,
}

/// Reads the rows of a file, from the first to the last.
pub(crate) struct RowReader {
    footer: Footer,
    columns: Vec<ReadColumn>,
    scratch: ReadMemory,
    /// The index of the next row group.
    group: usize,
    /// How many rows of the current row group have not been decoded.
    left: u64,
    is_started: bool,
    /// How many rows to skip before the next are decoded.
    owed: u64,
    /// How many rows are decoded, and how many of them have been read.
    decoded: usize,
    used: usize,
}

enum ReadColumn {
    Texts(TextColumn),
    Numbers {
        leaf: usize,
        reader: ColumnReader,
        numbers: DecodedNumbers,
        /// What rows have in place of a number. Hardly any has, so it is not read until it is needed.
        beside: Option<Box<SubstituteTexts>>,
    },
}

struct TextColumn {
    leaf: usize,
    reader: ColumnReader,
    places: Vec<u32>,
}

struct SubstituteTexts {
    texts: TextColumn,
    /// How many rows it is behind the numbers.
    owed: usize,
}

impl RowReader {
    /// Reads these columns of `file` until `stop` is set.
    pub(crate) fn new(
        file: &FileRange,
        footer: Footer,
        wanted: &[WantedColumn],
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Damage> {
        let columns: Vec<ReadColumn> =
            wanted.iter().map(|wanted| column(file, &footer, wanted)).collect::<Result<_, _>>()?;
        Ok(Self {
            scratch: ReadMemory::new(footer.size(), Arc::clone(stop))?,
            footer,
            columns,
            group: 0,
            left: 0,
            is_started: false,
            owed: 0,
            decoded: 0,
            used: 0,
        })
    }

    /// Skips `count` rows.
    pub(crate) fn skip(&mut self, count: u64) {
        let decoded = (self.decoded - self.used) as u64;
        let now = usize::try_from(count.min(decoded)).unwrap_or(0);
        self.used += now;
        self.owed = self.owed.saturating_add(count - now as u64);
    }

    /// Appends the next `count` rows to `rows`; fewer, but at least one, if these take [`PIECE_BYTES`]. Returns how many.
    pub(crate) fn read(&mut self, count: usize, rows: &mut Rows) -> Result<usize, Damage> {
        let mut done = 0;
        while done < count {
            if self.used == self.decoded {
                self.decode()?;
            }
            let now = (count - done).min(self.decoded - self.used);
            for row in self.used..self.used + now {
                self.push(row, rows)?;
                done += 1;
                self.used += 1;
                if rows.size() >= PIECE_BYTES {
                    return Ok(done);
                }
            }
        }
        Ok(done)
    }

    /// Appends a decoded row.
    fn push(&self, row: usize, rows: &mut Rows) -> Result<(), Damage> {
        let before = rows.size();
        for column in &self.columns {
            let value = column.value(row);
            // A long text of a dictionary may be in every column of every row.
            if let Value::Text(text) = value
                && rows.size() - before + text.len() > MAX_ROW_BYTES
            {
                return Err(Damage::Form("a row is larger than those of any recording"));
            }
            rows.push(value);
        }
        Ok(())
    }

    /// Decodes the next rows.
    fn decode(&mut self) -> Result<(), Damage> {
        const MISSING: Damage = Damage::Form("it has fewer rows than ticks have");
        (self.decoded, self.used) = (0, 0);
        self.scratch.go_on()?;
        while self.left <= self.owed {
            self.owed -= self.left;
            self.left = self.footer.groups.get(self.group).ok_or(MISSING)?.rows;
            self.group += 1;
            self.is_started = false;
        }
        let scratch = &mut self.scratch;
        if !self.is_started {
            let group = self.footer.groups.get(self.group - 1).ok_or(MISSING)?;
            let start = |reader: &mut ColumnReader, leaf: usize| match group.chunks.get(leaf) {
                Some(chunk) => {
                    reader.start(chunk);
                    Ok(())
                }
                None => Err(MISSING),
            };
            self.columns.iter_mut().try_for_each(|column| column.start(&start))?;
            self.is_started = true;
        }
        let owed = usize::try_from(self.owed).map_err(|_| MISSING)?;
        let count = usize::try_from(self.left - self.owed).unwrap_or(BATCH).min(BATCH);
        for column in &mut self.columns {
            if owed > 0 {
                column.skip(owed, scratch)?;
            }
            column.decode(count, scratch)?;
        }
        self.left -= self.owed + count as u64;
        self.owed = 0;
        self.decoded = count;
        Ok(())
    }
}

fn column(file: &FileRange, footer: &Footer, wanted: &WantedColumn) -> Result<ReadColumn, Damage> {
    const MISSING: Damage = Damage::Form("it lacks a column that its header names");
    let find = |name: &str, physical: PhysicalType| {
        let leaf = footer.leaf(name)?;
        footer.leaves.get(leaf).filter(|found| found.physical == physical).map(|found| (leaf, found))
    };
    let texts = |name: &str, are_numbers: bool| {
        let (leaf, found) = find(name, PhysicalType::Bytes)?;
        Some(TextColumn {
            leaf,
            reader: ColumnReader::new(file, found, footer.has_sums, are_numbers),
            places: Vec::new(),
        })
    };
    if !wanted.is_number {
        return texts(&wanted.name, false).map(ReadColumn::Texts).ok_or(MISSING);
    }
    let (leaf, found) = find(&wanted.name, PhysicalType::Eight).ok_or(MISSING)?;
    let beside = texts(&schema::text_name(&wanted.name), true);
    Ok(ReadColumn::Numbers {
        leaf,
        reader: ColumnReader::new(file, found, footer.has_sums, false),
        numbers: DecodedNumbers::default(),
        beside: beside.map(|texts| Box::new(SubstituteTexts { texts, owed: 0 })),
    })
}

impl ReadColumn {
    fn start(&mut self, start: &dyn Fn(&mut ColumnReader, usize) -> Result<(), Damage>) -> Result<(), Damage> {
        match self {
            Self::Texts(texts) => start(&mut texts.reader, texts.leaf),
            Self::Numbers { leaf, reader, beside, .. } => {
                start(reader, *leaf)?;
                beside.iter_mut().try_for_each(|beside| {
                    beside.owed = 0;
                    start(&mut beside.texts.reader, beside.texts.leaf)
                })
            }
        }
    }

    fn skip(&mut self, count: usize, scratch: &mut ReadMemory) -> Result<(), Damage> {
        match self {
            Self::Texts(texts) => texts.reader.skip(count, scratch),
            Self::Numbers { reader, beside, .. } => {
                beside.iter_mut().for_each(|beside| beside.owed += count);
                reader.skip(count, scratch)
            }
        }
    }

    fn decode(&mut self, count: usize, scratch: &mut ReadMemory) -> Result<(), Damage> {
        match self {
            Self::Texts(texts) => texts.reader.read_texts(count, &mut texts.places, scratch),
            Self::Numbers { reader, numbers, beside, .. } => {
                reader.read_numbers(count, numbers, scratch)?;
                match beside {
                    Some(beside) if numbers.present.contains(&false) => {
                        beside.texts.reader.skip(beside.owed, scratch)?;
                        beside.owed = 0;
                        beside.texts.reader.read_texts(count, &mut beside.texts.places, scratch)
                    }
                    Some(beside) => {
                        beside.owed += count;
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
        }
    }

    fn value(&self, row: usize) -> Value<'_> {
        match self {
            Self::Texts(texts) => texts.value(row),
            Self::Numbers { numbers, beside, .. } => match (numbers.get(row), beside) {
                (Some(number), _) => Value::Number(number.into()),
                (None, Some(beside)) => beside.texts.value(row),
                (None, None) => Value::Mark(Mark::None),
            },
        }
    }
}

impl TextColumn {
    fn value(&self, row: usize) -> Value<'_> {
        match self.places.get(row) {
            Some(&NO_TEXT) | None => Value::Mark(Mark::None),
            Some(place) => self.reader.text(*place).unwrap_or(Value::Mark(Mark::Malformed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture::Directory;
    use crate::record::parquet::write::table::TableWriter;
    use crate::record::parquet::write::text_list::TextList;

    /// A reader of a file of `columns` columns and `rows` rows, all with the same text.
    fn same_texts(root: &Directory, columns: usize, rows: usize, text: &str) -> Result<RowReader, Damage> {
        let names: Vec<String> = (0..columns).map(|number| format!("column{number}")).collect();
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        let path = root.path.join("x.parquet");
        let file = std::fs::File::create(&path).unwrap();
        let mut table = TableWriter::new(file, &schema::numbers_and_texts(&[], &texts).unwrap()).unwrap();
        let mut group = table.row_group().unwrap();
        for _ in 0..columns {
            let mut list = TextList::default();
            list.push(text);
            let chunk = group.encoder.texts(&vec![0; rows], &list, None).unwrap();
            group.column(chunk).unwrap();
        }
        group.finish().unwrap();
        table.finish(Vec::new()).unwrap();
        let file = FileRange::open(&path)?;
        let wanted: Vec<WantedColumn> = names.into_iter().map(|name| WantedColumn { name, is_number: false }).collect();
        RowReader::new(&file, Footer::read(&file)?, &wanted, &Arc::default())
    }

    #[test]
    fn a_text_that_comes_again_and_again_counts_each_time() {
        let root = Directory::new();
        let mut reader = same_texts(&root, 2, 10_000, &"x".repeat(500_000)).unwrap();
        let mut left = 10_000;
        while left > 9_900 {
            let mut rows = Rows::new(2);
            left -= reader.read(left, &mut rows).unwrap();
            assert!((PIECE_BYTES..PIECE_BYTES + MAX_ROW_BYTES).contains(&rows.size()), "{}", rows.size());
        }
        let mut reader = same_texts(&root, 9, 10, &"x".repeat(500_000)).unwrap();
        assert!(matches!(
            reader.read(10, &mut Rows::new(9)),
            Err(Damage::Form("a row is larger than those of any recording"))
        ));
    }

    #[test]
    fn all_columns_together_take_no_more_than_they_may() {
        let root = Directory::new();
        // Each column has a page of its own, as the text is too large for a dictionary.
        let text = "x".repeat(2 << 20);
        assert!(same_texts(&root, 1, 1, &text).unwrap().read(1, &mut Rows::new(1)).is_ok());
        let result = same_texts(&root, 60, 1, &text).unwrap().read(1, &mut Rows::new(60));
        assert!(matches!(result, Err(Damage::Form("its columns take more memory than those of any recording"))));
    }

    #[test]
    fn a_reading_ends_when_it_is_told_to() {
        let root = Directory::new();
        let mut reader = same_texts(&root, 1, 10_000, "x").unwrap();
        let mut rows = Rows::new(1);
        assert_eq!(reader.read(5000, &mut rows).unwrap(), 5000);
        reader.scratch.stop().store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(reader.read(5000, &mut rows), Err(Damage::Stopped)));
    }
}
