//! The columns of a part as engines see them, and the keys of the notes that psn keeps in its metadata.
//!
//! | column | | |
//! |---|---|---|
//! | `tick` | INT64 | the number of the tick in its run |
//! | `time` | TIMESTAMP, microseconds, UTC | start of the pass |
//! | `seconds` | DOUBLE | the time that the tick stands for, so that `sum(seconds)` is thread-seconds |
//! | a text column | STRING | the stored form ([`crate::record::text`]) |
//! | a number column | INT64, or DECIMAL(18, n) | NULL if there is no number, or it does not fit |
//! | a number column's `…_text` | STRING | what is there instead: a mark, or the digits of the number |

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

use crate::record::{Header, text};
use crate::row::observation::{Mark, Value};

/// The prefix of the keys of psn's notes in a file.
pub(crate) const NOTES: &str = "psn.";
/// The key of the run's header.
pub(crate) const HEADER_NOTE: &str = "psn.header";
/// The key of the note on the ticks.
pub(crate) const TICKS_NOTE: &str = "psn.ticks";
/// The key of the facts of the report, in the last part of a run.
pub(crate) const FACTS_NOTE: &str = "psn.facts";
/// The key of the names of the parts that were merged into this one.
pub(crate) const REPLACES_NOTE: &str = "psn.replaces";

/// The digits of a `DECIMAL` in 64 bits.
const DECIMAL_DIGITS: u8 = 18;

/// The name of the text column beside the number column `name`.
pub(crate) fn text_name(name: &str) -> String {
    format!("{name}_text")
}

/// The decimal places of numbers that are stored multiplied by `divisor`; none if it is not a power of ten.
fn scale(divisor: u32) -> Option<u8> {
    (1..10).find(|places| 10_u32.checked_pow((*places).into()) == Some(divisor))
}

/// `number` as a number column with this divisor stores it; none if it does not fit.
pub(crate) fn fitting(number: i128, divisor: u32) -> Option<i64> {
    let fits = |number: &i64| scale(divisor).is_none() || number.unsigned_abs() < 10_u64.pow(DECIMAL_DIGITS.into());
    i64::try_from(number).ok().filter(fits)
}

/// The stored form, in the text column, of a value that a number column cannot hold; none for no value at all.
pub(crate) fn store_beside(value: Value<'_>) -> Option<String> {
    match value {
        Value::Mark(Mark::None) => None,
        Value::Mark(mark) => Some(mark.text().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Text(bytes) => {
            let stored = text::store(bytes);
            // psn writes no text of digits there. It stays a text all the same.
            Some(if stored_number(stored.as_bytes()).is_some() { format!("\\e:{stored}") } else { stored.into_owned() })
        }
    }
}

/// The number that is stored as text beside a number column.
pub(crate) fn stored_number(stored: &[u8]) -> Option<i128> {
    std::str::from_utf8(stored).ok()?.parse().ok()
}

/// The schema of a file with the columns of `header`.
pub(crate) fn rows(header: &Header) -> Result<TypePtr, ParquetError> {
    let time = LogicalType::timestamp(true, TimeUnit::MICROS);
    let mut fields = vec![
        leaf("tick", Physical::INT64, Repetition::REQUIRED, None)?,
        leaf("time", Physical::INT64, Repetition::REQUIRED, Some(time))?,
        leaf("seconds", Physical::DOUBLE, Repetition::REQUIRED, None)?,
    ];
    for column in &header.columns {
        if column.is_number() {
            let decimal = scale(column.divisor).map(|scale| LogicalType::decimal(scale.into(), DECIMAL_DIGITS.into()));
            fields.push(leaf(&column.name, Physical::INT64, Repetition::OPTIONAL, decimal)?);
            fields.push(text_leaf(&text_name(&column.name), Repetition::OPTIONAL)?);
        } else {
            fields.push(text_leaf(&column.name, Repetition::REQUIRED)?);
        }
    }
    table(fields)
}

/// A schema with columns of unsigned 64-bit numbers, followed by columns of texts.
pub(crate) fn numbers_and_texts(numbers: &[&str], texts: &[&str]) -> Result<TypePtr, ParquetError> {
    let unsigned = || Some(LogicalType::integer(64, false));
    let numbers = numbers.iter().map(|name| leaf(name, Physical::INT64, Repetition::REQUIRED, unsigned()));
    let texts = texts.iter().map(|name| text_leaf(name, Repetition::REQUIRED));
    table(numbers.chain(texts).collect::<Result<_, _>>()?)
}

fn table(fields: Vec<TypePtr>) -> Result<TypePtr, ParquetError> {
    Ok(Arc::new(Type::group_type_builder("psn").with_fields(fields).build()?))
}

fn text_leaf(name: &str, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    leaf(name, Physical::BYTE_ARRAY, repetition, Some(LogicalType::String))
}

fn leaf(
    name: &str,
    physical: Physical,
    repetition: Repetition,
    logical: Option<LogicalType>,
) -> Result<TypePtr, ParquetError> {
    let mut builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
    if let Some(LogicalType::Decimal(decimal)) = &logical {
        builder = builder.with_scale(decimal.scale).with_precision(decimal.precision);
    }
    Ok(Arc::new(builder.with_logical_type(logical).build()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_or_do_not() {
        assert_eq!(fitting(i64::MAX.into(), 1), Some(i64::MAX));
        assert_eq!(fitting(i128::from(i64::MAX) + 1, 1), None);
        assert_eq!(fitting(-999_999_999_999_999_999, 100), Some(-999_999_999_999_999_999));
        assert_eq!(fitting(1_000_000_000_000_000_000, 100), None);
        assert_eq!((scale(1), scale(100), scale(1024), scale(1_000_000_000)), (None, Some(2), None, Some(9)));
    }

    #[test]
    fn texts_of_digits_stay_texts_beside_numbers() {
        assert_eq!(store_beside(Value::Text(b"12")).as_deref(), Some("\\e:12"));
        assert_eq!(store_beside(Value::Text(b"x")).as_deref(), Some("x"));
        assert_eq!(store_beside(Value::Mark(Mark::Torn)).as_deref(), Some("[torn]"));
        assert_eq!(store_beside(Value::Mark(Mark::None)), None);
        assert_eq!(stored_number(b"-170141183460469231731687303715884105728"), Some(i128::MIN));
    }
}
