//! The rows of a row group in memory, column by column, until they are written.
//!
//! A million rows of fifteen columns take some 60 MB: texts are kept once, numbers in four bytes while they fit, and what
//! is odd on the side.

use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;

use foldhash::fast::RandomState;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};

use super::schema;
use crate::observation::{Mark, Rows, Value};
use crate::record::{Header, RecordedColumn, text};

/// The rows of a row group.
pub struct RowBuffer {
    columns: Vec<Column>,
    runs: Vec<Run>,
    rows: usize,
}

/// Rows of one tick.
#[derive(Debug, Clone, Copy)]
struct Run {
    tick: i64,
    time_us: i64,
    seconds: f64,
    rows: usize,
}

enum Column {
    Texts { places: Vec<u32>, texts: Texts },
    Numbers(Numbers),
}

impl RowBuffer {
    /// No rows yet, of the columns that `header` has.
    pub fn new(header: &Header) -> Self {
        let column = |column: &RecordedColumn| {
            if column.is_number() {
                Column::Numbers(Numbers::new(column.divisor))
            } else {
                Column::Texts { places: Vec::new(), texts: Texts::default() }
            }
        };
        Self { columns: header.columns.iter().map(column).collect(), runs: Vec::new(), rows: 0 }
    }

    /// The number of rows.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// The memory they take, in bytes, more or less.
    pub fn size(&self) -> usize {
        let size = |column: &Column| match column {
            Column::Texts { places, texts } => places.len() * size_of::<u32>() + texts.size,
            Column::Numbers(numbers) => numbers.size(),
        };
        self.columns.iter().map(size).sum()
    }

    /// Makes tick `number` the one that the next rows are of. It stands for `seconds`.
    pub fn begin(&mut self, number: u64, time_ns: u64, seconds: f64) {
        // That of a tick without rows is of no use.
        self.runs.pop_if(|run| run.rows == 0);
        let tick = number.cast_signed();
        self.runs.push(Run { tick, time_us: (time_ns / 1000).cast_signed(), seconds, rows: 0 });
    }

    /// Adds these of `rows`.
    pub fn push(&mut self, rows: &Rows, range: Range<usize>) {
        for (place, column) in self.columns.iter_mut().enumerate() {
            let values = range.clone().map(|row| rows.value(row, place));
            match column {
                Column::Texts { places, texts } => places.extend(values.map(|value| texts.place(value))),
                Column::Numbers(numbers) => values.for_each(|value| numbers.push(value)),
            }
        }
        if let Some(run) = self.runs.last_mut() {
            run.rows += range.len();
        }
        self.rows += range.len();
    }

    /// Writes the rows as a row group, if there are any, and forgets them. Further rows are of the same tick.
    pub fn write<W: Write + Send>(&mut self, file: &mut SerializedFileWriter<W>) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = file.next_row_group()?;
        write_runs::<Int64Type, W>(&mut group, &self.runs, |run| run.tick)?;
        write_runs::<Int64Type, W>(&mut group, &self.runs, |run| run.time_us)?;
        write_runs::<DoubleType, W>(&mut group, &self.runs, |run| run.seconds)?;
        for column in &self.columns {
            match column {
                Column::Texts { places, texts } => {
                    let mut column = Batches::<ByteArrayType>::next(&mut group, false)?;
                    places.iter().try_for_each(|place| column.value(texts.stored(*place)))?;
                    column.close()?;
                }
                Column::Numbers(numbers) => numbers.write(&mut group)?,
            }
        }
        group.close()?;
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        let last = self.runs.last().copied();
        self.runs.clear();
        self.runs.extend(last.map(|run| Run { rows: 0, ..run }));
        self.rows = 0;
        for column in &mut self.columns {
            match column {
                Column::Texts { places, texts } => {
                    places.clear();
                    *texts = Texts::default();
                }
                Column::Numbers(numbers) => numbers.clear(),
            }
        }
    }
}

fn write_runs<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    runs: &[Run],
    value: impl Fn(&Run) -> T::T,
) -> Result<(), ParquetError> {
    let mut column = Batches::<T>::next(group, false)?;
    for run in runs {
        (0..run.rows).try_for_each(|_| column.value(value(run)))?;
    }
    column.close()
}

/// Numbers, and what is there instead of some.
struct Numbers {
    divisor: u32,
    values: Integers,
    /// The rows without a number, in order, and the places of the texts they have.
    odd: Vec<(usize, Option<u32>)>,
    texts: Texts,
}

enum Integers {
    Narrow(Vec<i32>),
    Wide(Vec<i64>),
}

impl Numbers {
    fn new(divisor: u32) -> Self {
        Self { divisor, values: Integers::Narrow(Vec::new()), odd: Vec::new(), texts: Texts::default() }
    }

    fn size(&self) -> usize {
        let values = match &self.values {
            Integers::Narrow(values) => values.len() * size_of::<i32>(),
            Integers::Wide(values) => values.len() * size_of::<i64>(),
        };
        values + self.odd.len() * size_of::<(usize, Option<u32>)>() + self.texts.size
    }

    fn push(&mut self, value: Value<'_>) {
        let number = match value {
            Value::Number(number) => schema::fitting(number, self.divisor),
            _ => None,
        };
        if number.is_none() {
            let place = match value {
                Value::Mark(Mark::None) => None,
                Value::Mark(mark) => Some(self.texts.place_of_mark(mark)),
                other => schema::store_beside(other).map(|stored| self.texts.add(&stored)),
            };
            self.odd.push((self.values.len(), place));
        }
        self.values.push(number.unwrap_or(0));
    }

    fn write<W: Write + Send>(&self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<(), ParquetError> {
        let mut column = Batches::<Int64Type>::next(group, true)?;
        let mut odd = self.odd.iter().peekable();
        let mut write = |row: usize, number: i64| match odd.next_if(|(odd, _)| *odd == row) {
            Some(_) => column.nulls(1),
            None => column.value(number),
        };
        match &self.values {
            Integers::Narrow(values) => {
                values.iter().enumerate().try_for_each(|(row, number)| write(row, i64::from(*number)))?;
            }
            Integers::Wide(values) => values.iter().enumerate().try_for_each(|(row, number)| write(row, *number))?,
        }
        column.close()?;
        let mut column = Batches::<ByteArrayType>::next(group, true)?;
        let mut done = 0;
        for (row, place) in &self.odd {
            if let Some(place) = place {
                column.nulls(row - done)?;
                column.value(self.texts.stored(*place))?;
                done = row + 1;
            }
        }
        column.nulls(self.values.len() - done)?;
        column.close()
    }

    fn clear(&mut self) {
        match &mut self.values {
            Integers::Narrow(values) => values.clear(),
            Integers::Wide(values) => values.clear(),
        }
        self.odd.clear();
        self.texts = Texts::default();
    }
}

impl Integers {
    const fn len(&self) -> usize {
        match self {
            Self::Narrow(values) => values.len(),
            Self::Wide(values) => values.len(),
        }
    }

    fn push(&mut self, number: i64) {
        match self {
            Self::Wide(values) => values.push(number),
            Self::Narrow(values) => match i32::try_from(number) {
                Ok(number) => values.push(number),
                Err(_) => *self = Self::Wide(values.iter().map(|number| i64::from(*number)).chain([number]).collect()),
            },
        }
    }
}

/// Texts in their stored form, each once.
#[derive(Default)]
struct Texts {
    places: HashMap<Box<[u8]>, u32, RandomState>,
    marks: [Option<u32>; Mark::ALL.len()],
    stored: Vec<ByteArray>,
    /// The memory they take, in bytes, more or less.
    size: usize,
}

impl Texts {
    /// What a text takes beside its own bytes, which are there twice.
    const OVERHEAD: usize = 128;

    fn place(&mut self, value: Value<'_>) -> u32 {
        match value {
            Value::Mark(mark) => self.place_of_mark(mark),
            Value::Text(text) => self.place_of_text(text),
            Value::Number(number) => self.place_of_text(number.to_string().as_bytes()),
        }
    }

    fn place_of_text(&mut self, text: &[u8]) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.add(&text::store(text));
        self.places.insert(text.into(), place);
        place
    }

    fn place_of_mark(&mut self, mark: Mark) -> u32 {
        if let Some(Some(place)) = self.marks.get(mark as usize) {
            return *place;
        }
        let place = self.add(mark.text());
        if let Some(known) = self.marks.get_mut(mark as usize) {
            *known = Some(place);
        }
        place
    }

    fn add(&mut self, stored: &str) -> u32 {
        // A row group has far fewer.
        let place = u32::try_from(self.stored.len()).unwrap_or(u32::MAX);
        self.size += 2 * stored.len() + Self::OVERHEAD;
        self.stored.push(ByteArray::from(stored));
        place
    }

    fn stored(&self, place: u32) -> ByteArray {
        self.stored.get(place as usize).cloned().unwrap_or_else(|| ByteArray::from(""))
    }
}

/// Hands the values of a column to its writer, many at a time.
pub struct Batches<'a, T: DataType> {
    column: SerializedColumnWriter<'a>,
    values: Vec<T::T>,
    levels: Vec<i16>,
    is_optional: bool,
}

impl<'a, T: DataType> Batches<'a, T> {
    const LEN: usize = 4096;

    /// For the next column of `group`, which may lack values if it is optional.
    pub fn next<W: Write + Send>(
        group: &'a mut SerializedRowGroupWriter<'_, W>,
        is_optional: bool,
    ) -> Result<Self, ParquetError> {
        let column = group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".to_owned()))?;
        Ok(Self { column, values: Vec::with_capacity(Self::LEN), levels: Vec::new(), is_optional })
    }

    /// Adds a value.
    pub fn value(&mut self, value: T::T) -> Result<(), ParquetError> {
        self.values.push(value);
        if self.is_optional {
            self.levels.push(1);
        }
        if self.values.len().max(self.levels.len()) < Self::LEN { Ok(()) } else { self.write() }
    }

    /// Adds rows without a value.
    pub fn nulls(&mut self, mut count: usize) -> Result<(), ParquetError> {
        while count > 0 {
            let now = count.min(Self::LEN - self.levels.len());
            self.levels.extend(std::iter::repeat_n(0, now));
            count -= now;
            if self.levels.len() == Self::LEN {
                self.write()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        let levels = self.is_optional.then_some(self.levels.as_slice());
        self.column.typed::<T>().write_batch(&self.values, levels, None)?;
        self.values.clear();
        self.levels.clear();
        Ok(())
    }

    /// Ends the column.
    pub fn close(mut self) -> Result<(), ParquetError> {
        self.write()?;
        self.column.close()
    }
}
