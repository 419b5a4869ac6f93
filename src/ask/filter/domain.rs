//! What a column can show at all: a condition that none of it meets is a mistake, and the error says what was meant.

use std::borrow::Cow;

use crate::ask::column::{Column, Extract, FilenameForm, STATE_LETTERS, SyscallPart, closest, state_name, state_names};
use crate::ask::filter::{Condition, FilterError, Operand, Test, scaled};
use crate::proc::parse::{fd_link, star_digits};
use crate::proc::state::is_running;
use crate::proc::syscall;
use crate::row::observation::{Mark, Value};
use crate::text::escape::unescape;

/// Hexadecimal digits of a container's id that its column shows.
const CONTAINER_DIGITS: usize = 12;

/// What `value` may stand for in an equality.
pub(super) fn operands(column: &'static Column, value: &str) -> Result<Vec<Operand>, FilterError> {
    if let Some(mark) = Mark::from_text(value.as_bytes())
        && (mark != Mark::None || column.kind.is_number())
    {
        return Ok(vec![Operand::Mark(mark)]);
    }
    if column.kind.is_number() {
        return Ok(vec![Operand::Number(scaled(column, value)?)]);
    }
    Ok(texts(column, value).into_iter().map(Operand::Text).collect())
}

/// The texts that `value` may be typed for.
fn texts(column: &'static Column, value: &str) -> Vec<Vec<u8>> {
    let mut texts = match (column.extract, value.as_bytes()) {
        (Extract::State | Extract::State2, [letter]) => {
            let names: Vec<Vec<u8>> = state_names(*letter).map(|name| name.as_bytes().to_vec()).collect();
            if names.is_empty() { vec![vec![*letter]] } else { names }
        }
        // The table shows names in parentheses, so they are typed in parentheses; a name may have some of its own.
        (Extract::Comm | Extract::CommRaw, text @ [b'(', name @ .., b')']) => vec![name.to_vec(), text.to_vec()],
        (Extract::Container, text) => vec![short_id(text).to_vec()],
        (_, text) => vec![text.to_vec()],
    };
    // And what does not show is typed as it was printed.
    if value.contains('\\') {
        let meant: Vec<Vec<u8>> = texts.iter().map(|text| unescape(&String::from_utf8_lossy(text))).collect();
        texts.extend(meant);
    }
    texts
}

/// The digits of a container's id that are shown.
fn short_id(id: &[u8]) -> &[u8] {
    let is_id = id.len() > CONTAINER_DIGITS && id.len() <= 64 && id.iter().all(u8::is_ascii_hexdigit);
    if is_id { id.get(..CONTAINER_DIGITS).unwrap_or(id) } else { id }
}

/// The pattern for what the column shows: of a container's whole id that is the beginning.
pub(super) fn pattern<'a>(column: &'static Column, pattern: &'a str) -> Cow<'a, str> {
    if column.extract != Extract::Container {
        return Cow::Borrowed(pattern);
    }
    let id = pattern.trim_start_matches('^').trim_end_matches('$');
    let short = short_id(id.as_bytes());
    match std::str::from_utf8(short) {
        Ok(short) if short.len() < id.len() => Cow::Owned(pattern.replacen(id, short, 1)),
        _ => Cow::Borrowed(pattern),
    }
}

/// Sees to it that the condition, typed with `value`, can hold.
pub(super) fn check(condition: &Condition, value: &str) -> Result<(), FilterError> {
    let column = condition.column;
    let is_equality = matches!(condition.test, Test::In(_) | Test::NotIn(_));
    if is_equality && Mark::from_text(value.as_bytes()).is_some() {
        return Ok(());
    }
    let hint = match column.extract {
        Extract::State | Extract::State2 | Extract::StateId => hint_of_state(condition, value),
        Extract::Kthread | Extract::OnCpu => hint_of_range(condition, 0, 1),
        Extract::Status("CoreDumping" | "THP_enabled" | "NoNewPrivs", _) => hint_of_range(condition, 0, 1),
        Extract::Status("Seccomp", _) => hint_of_range(condition, 0, 2),
        Extract::StatNumber(crate::proc::parse::stat::field::NICE) => hint_of_range(condition, -20, 19),
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

/// What is wrong with a condition on a state that no thread can be in.
fn hint_of_state(condition: &Condition, value: &str) -> Option<String> {
    let column = condition.column;
    let is_letter = column.extract == Extract::StateId;
    let letters = || STATE_LETTERS.bytes();
    let shown = letters().flat_map(|letter| match is_letter {
        true => vec![vec![letter]],
        false => state_names(letter).map(|name| name.as_bytes().to_vec()).collect(),
    });
    let mut values = shown.chain(Mark::ALL.map(|mark| mark.text().as_bytes().to_vec()));
    let positive = match &condition.test {
        Test::NotIn(operands) => Condition { test: Test::In(operands.clone()), ..condition.clone() },
        Test::NotMatches(regex) => Condition { test: Test::Matches(regex.clone()), ..condition.clone() },
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
        format!("for several states write {name} in ({})", several.join(", "))
    } else if value.len() > 1 && value.bytes().all(|c| letters().any(|letter| letter == c)) {
        let letters: Vec<String> = value.chars().map(String::from).collect();
        format!("for several states write {name} in ({})", letters.join(", "))
    } else if is_letter {
        format!("a state is one of {all}")
    } else {
        let names = letters().flat_map(state_names);
        let meant = closest(value, names).into_iter().next();
        let meant = meant.map_or(String::new(), |name| format!("; did you mean '{name}'?"));
        format!("a state is one of {all}, or its name as in 'Disk (Uninterruptible)'{meant}")
    })
}

/// What is wrong with a number that is none of those from `min` to `max`.
fn hint_of_range(condition: &Condition, min: i128, max: i128) -> Option<String> {
    let condition = match &condition.test {
        Test::NotIn(operands) => &Condition { test: Test::In(operands.clone()), ..condition.clone() },
        _ => condition,
    };
    if (min..=max).any(|number| condition.matches(Value::Number(number)))
        || Mark::ALL.into_iter().any(|mark| condition.matches(Value::Mark(mark)))
    {
        return None;
    }
    Some(if (min, max) == (0, 1) { "it is 0 or 1".to_owned() } else { format!("it is from {min} to {max}") })
}

/// What is wrong with a text that the column would show in another form.
fn hint_of_form(condition: &Condition, value: &str, raw: &str, form: fn(&[u8], &mut Vec<u8>)) -> Option<String> {
    let shown = |text: &[u8]| {
        let mut shown = Vec::new();
        form(text, &mut shown);
        shown
    };
    let (Test::In(operands) | Test::NotIn(operands)) = &condition.test else { return None };
    if operands.iter().any(|operand| matches!(operand, Operand::Text(text) if shown(text) == *text)) {
        return None;
    }
    let shown = shown(value.as_bytes());
    let shown = String::from_utf8_lossy(&shown);
    Some(format!("it shows runs of digits as *: write '{shown}', or {raw} = '{value}'"))
}

fn hint_of_call(value: &str) -> Option<String> {
    if value.parse::<i64>().is_ok() || syscall::names().any(|name| name == value) {
        return None;
    }
    let meant = match closest(value, syscall::names()).as_slice() {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    };
    Some(format!("no system call has that name{meant}"))
}

fn hint_of_address(column: &'static Column, value: &str) -> Option<String> {
    let digits = value.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    if digits.is_some_and(|number| format!("{number:#x}") == value) {
        return None;
    }
    let number = digits.or_else(|| value.parse::<u64>().ok());
    let meant = number.map_or(String::new(), |number| format!(": write {} = {number:#x}", column.name));
    Some(format!("it is hexadecimal, as in 0x1f{meant}"))
}

/// Which column of texts was meant, where a column of numbers is compared with one.
pub(super) fn hint_of_number(column: &'static Column, value: &str) -> String {
    match column.name {
        "uid" | "gid" if !value.is_empty() => format!("; a name stands in user, as in user = {value}"),
        "syscall_id" => format!("; a name stands in syscall, as in syscall = {value}"),
        "pid" | "task" | "tgid" | "ppid" => format!("; a name stands in comm2, as in comm2 = {value}"),
        _ => match value {
            "true" | "yes" | "on" => "; yes is 1".to_owned(),
            "false" | "no" | "off" => "; no is 0".to_owned(),
            _ => String::new(),
        },
    }
}

/// Whether a thread in this state, shown as `name`, may meet the filter.
pub(super) fn may_be_in(condition: &Condition, letter: u8, name: &str) -> Option<bool> {
    match condition.column.extract {
        Extract::StateId => Some(condition.matches(Value::Text(&[letter]))),
        Extract::State => Some(condition.matches(Value::Text(name.as_bytes()))),
        // Of threads in state R it may be that nobody can tell.
        Extract::State2 if state_name(letter) == Some(name) && !is_running(letter) => {
            Some(condition.matches(Value::Text(name.as_bytes())))
        }
        _ => None,
    }
}
