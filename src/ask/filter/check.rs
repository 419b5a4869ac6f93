//! Refuses conditions that no value of the column can meet, with a hint at what was probably meant.

use crate::ask::column::{Column, Extract, FilenameForm, SyscallPart};
use crate::ask::filter::condition::{Comparison, Condition, Literal};
use crate::ask::filter::error::FilterError;
use crate::ask::registry::closest;
use crate::proc::parse::stat::field;
use crate::proc::parse::{fd_link, star_digits};
use crate::proc::state::{STATE_LETTERS, state_names};
use crate::proc::syscall;
use crate::row::observation::{Mark, Value};

/// Checks that some value of the column can meet the condition, which was typed with `value`.
///
/// # Errors
/// No value can: what values the column has, and what to write.
pub(super) fn check(condition: &Condition, value: &str) -> Result<(), FilterError> {
    let column = condition.column;
    let is_equality = matches!(condition.comparison, Comparison::In(_) | Comparison::NotIn(_));
    if is_equality && Mark::from_text(value.as_bytes()).is_some() {
        return Ok(());
    }
    let hint = match column.extract {
        Extract::State | Extract::State2 | Extract::StateId => hint_of_state(condition, value),
        Extract::Kthread | Extract::OnCpu => hint_of_range(condition, 0, 1),
        Extract::Status("CoreDumping" | "THP_enabled" | "NoNewPrivs", _) => hint_of_range(condition, 0, 1),
        Extract::Status("Seccomp", _) => hint_of_range(condition, 0, 2),
        Extract::StatNumber(field::NICE) => hint_of_range(condition, -20, 19),
        Extract::Comm if is_equality => hint_of_form(condition, value, "comm2", star_digits),
        Extract::Filename(FilenameForm::Summary) if is_equality => {
            hint_of_form(condition, value, "filename2", fd_link::filename_sum)
        }
        Extract::Filename(FilenameForm::Normal) if is_equality => {
            hint_of_form(condition, value, "filename2", fd_link::filename)
        }
        Extract::Syscall(SyscallPart::Name) if is_equality => hint_of_call(value),
        Extract::Syscall(SyscallPart::Id) => None,
        Extract::Syscall(_) if is_equality => hint_of_address(column, value),
        _ => None,
    };
    match hint {
        Some(hint) => Err(FilterError::Never { column: column.name, value: value.to_owned(), hint }),
        None => Ok(()),
    }
}

/// A hint if no state meets the condition.
fn hint_of_state(condition: &Condition, value: &str) -> Option<String> {
    let column = condition.column;
    let is_letter = column.extract == Extract::StateId;
    let letters = || STATE_LETTERS.bytes();
    let shown = letters().flat_map(|letter| match is_letter {
        true => vec![vec![letter]],
        false => state_names(letter).map(|name| name.as_bytes().to_vec()).collect(),
    });
    let mut values = shown.chain(Mark::ALL.map(|mark| mark.text().as_bytes().to_vec()));
    let positive = match &condition.comparison {
        Comparison::NotIn(literals) => Condition { comparison: Comparison::In(literals.clone()), ..condition.clone() },
        Comparison::NotMatches(regex) => {
            Condition { comparison: Comparison::Matches(regex.clone()), ..condition.clone() }
        }
        _ => condition.clone(),
    };
    if values.any(|value| positive.matches(Value::Text(&value))) {
        return None;
    }
    let several: Vec<String> = value
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| word.len() == 1 && letters().any(|letter| word.as_bytes() == [letter]))
        .map(str::to_owned)
        .collect();
    let name = column.name;
    let all: Vec<char> = STATE_LETTERS.chars().collect();
    let all = all.iter().map(char::to_string).collect::<Vec<_>>().join(" ");
    Some(if several.len() > 1 {
        format!("for several states, write {name} in ({})", several.join(", "))
    } else if value.len() > 1 && value.bytes().all(|c| letters().any(|letter| letter == c)) {
        let letters: Vec<String> = value.chars().map(String::from).collect();
        format!("for several states, write {name} in ({})", letters.join(", "))
    } else if is_letter {
        format!("a state is one of {all}")
    } else {
        let names = letters().flat_map(state_names);
        let meant = closest(value, names).into_iter().next();
        let meant = meant.map_or(String::new(), |name| format!("; did you mean '{name}'?"));
        format!("a state is one of {all}, or a name such as 'Disk (Uninterruptible)'{meant}")
    })
}

/// A hint if no number from `min` to `max`, and no mark, meets the condition.
fn hint_of_range(condition: &Condition, min: i128, max: i128) -> Option<String> {
    let condition = match &condition.comparison {
        Comparison::NotIn(literals) => &Condition { comparison: Comparison::In(literals.clone()), ..condition.clone() },
        _ => condition,
    };
    if (min..=max).any(|number| condition.matches(Value::Number(number)))
        || Mark::ALL.into_iter().any(|mark| condition.matches(Value::Mark(mark)))
    {
        return None;
    }
    Some(if (min, max) == (0, 1) {
        "the value is 0 or 1".to_owned()
    } else {
        format!("the value is from {min} to {max}")
    })
}

/// A hint if the column, which shows texts in the given form, never shows this one; `raw` is the column that shows them unchanged.
fn hint_of_form(condition: &Condition, value: &str, raw: &str, form: fn(&[u8], &mut Vec<u8>)) -> Option<String> {
    let shown = |text: &[u8]| {
        let mut shown = Vec::new();
        form(text, &mut shown);
        shown
    };
    let (Comparison::In(literals) | Comparison::NotIn(literals)) = &condition.comparison else { return None };
    if literals.iter().any(|literal| matches!(literal, Literal::Text(text) if shown(text) == *text)) {
        return None;
    }
    let shown = shown(value.as_bytes());
    let shown = String::from_utf8_lossy(&shown);
    Some(format!("the column shows each run of digits as *: write '{shown}', or use {raw} = '{value}'"))
}

/// A hint if no system call has this name.
fn hint_of_call(value: &str) -> Option<String> {
    if value.parse::<i64>().is_ok() || syscall::names().any(|name| name == value) {
        return None;
    }
    let meant = match closest(value, syscall::names()).as_slice() {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    };
    Some(format!("no system call has this name{meant}"))
}

/// A hint if `value` is not written as the column shows addresses.
fn hint_of_address(column: &'static Column, value: &str) -> Option<String> {
    let digits = value.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    if digits.is_some_and(|number| format!("{number:#x}") == value) {
        return None;
    }
    let number = digits.or_else(|| value.parse::<u64>().ok());
    let meant = number.map_or(String::new(), |number| format!(": write {} = {number:#x}", column.name));
    Some(format!("the column shows hexadecimal numbers, such as 0x1f{meant}"))
}

/// A hint for a text that is compared with a column of numbers: the column of texts that was probably meant; empty if unknown.
pub(super) fn hint_of_number(column: &'static Column, value: &str) -> String {
    match column.name {
        "uid" | "gid" if !value.is_empty() => format!("; for a name, use user = {value}"),
        "syscall_id" => format!("; for a name, use syscall = {value}"),
        "pid" | "task" | "tgid" | "ppid" => format!("; for a name, use comm2 = {value}"),
        _ => match value {
            "true" | "yes" | "on" => format!("; write 1 for {value}"),
            "false" | "no" | "off" => format!("; write 0 for {value}"),
            _ => String::new(),
        },
    }
}
