//! `--where`: conditions on columns, `COL OP VALUE` and `COL in (VALUE, ...)`, put together by `and`, `or` and parentheses.
//!
//! `grammar` cuts the text, `domain` knows what a column can show: a condition that can never hold is an error.

mod domain;
mod grammar;

use std::cmp::Ordering;

use regex::bytes::Regex;

use crate::ask::column::{COLUMNS, Column, closest};
use crate::row::observation::{Mark, Observation, Value};

/// How a value is compared.
#[derive(Debug, Clone)]
enum Test {
    /// With any of these.
    In(Vec<Operand>),
    /// With none of these.
    NotIn(Vec<Operand>),
    Matches(Regex),
    NotMatches(Regex),
    Less(Number),
    LessOrEqual(Number),
    Greater(Number),
    GreaterOrEqual(Number),
}

/// A number as it was typed, in the unit that the column is shown in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    /// Times the column's divisor, as values are: compared to the last digit.
    Exact(i128),
    Decimal(f64),
}

/// The right-hand side of an equality.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Number(Number),
    Text(Vec<u8>),
    Mark(Mark),
}

/// One condition on one column.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The column it is on.
    pub column: &'static Column,
    /// The column's place in an observation, once that is known.
    slot: usize,
    test: Test,
}

/// One `--where`: conditions, and how they are put together.
#[derive(Debug, Clone)]
pub struct Filter(Node);

#[derive(Debug, Clone)]
enum Node {
    Is(Condition),
    /// `and`
    All(Vec<Node>),
    /// `or`
    Any(Vec<Node>),
}

/// Why a condition was not understood; the message names the part and says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No operator was found.
    #[error(
        "'{0}' is not 'COLUMN OP VALUE', with OP one of = != ~ !~ < <= > >=, nor 'COLUMN in (VALUE, ...)'; put several \
         together with and, or and parentheses"
    )]
    Shape(String),
    /// Something follows a condition that is whole.
    #[error(
        "'{0}' follows a condition: put conditions together with and or or, and quotes around a value that is cut short"
    )]
    Rest(String),
    /// A parenthesis that is not closed.
    #[error("a parenthesis is not closed in '{0}'; put quotes around a value that has one")]
    Open(String),
    /// Parentheses in parentheses in parentheses.
    #[error("parentheses are nested more than {} deep", grammar::MAX_DEPTH)]
    Deep,
    /// `in` of nothing.
    #[error("'{0}' has an empty value: write {0} in (VALUE, VALUE)")]
    EmptyList(&'static str),
    /// The column does not exist.
    #[error(transparent)]
    Column(#[from] UnknownColumn),
    /// The regular expression is wrong.
    #[error("'{pattern}' is not a regular expression: {reason}")]
    Regex {
        /// The pattern as given.
        pattern: String,
        /// What the regex parser says.
        reason: String,
    },
    /// An ordering on text.
    #[error("'{op}' compares numbers, and {column} is text: use =, !=, ~ or !~")]
    Ordering {
        /// The operator as given.
        op: &'static str,
        /// The column's name.
        column: &'static str,
    },
    /// A number was needed.
    #[error("'{value}' is not a number, and {column} is a column of numbers{hint}")]
    Number {
        /// The value as given.
        value: String,
        /// The column's name.
        column: &'static str,
        /// What was meant, if that can be told.
        hint: String,
    },
    /// The column never shows the like.
    #[error("{column} never shows '{value}': {hint}")]
    Never {
        /// The column's name.
        column: &'static str,
        /// The value as given.
        value: String,
        /// What it shows, and what to write.
        hint: String,
    },
}

/// A name that is no column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no column '{name}'{}", suggestion(.closest))]
pub struct UnknownColumn {
    /// The name as given.
    pub name: String,
    /// The columns that may have been meant.
    pub closest: Vec<&'static str>,
}

fn suggestion(closest: &[&'static str]) -> String {
    match closest {
        [] => "; psn --list shows them all".to_owned(),
        names => format!("; did you mean {}? psn --list shows them all", names.join(" or ")),
    }
}

/// The column called `name`.
///
/// # Errors
/// When there is none: the closest names.
pub fn find_column(name: &str) -> Result<&'static Column, UnknownColumn> {
    Column::find(name).ok_or_else(|| UnknownColumn {
        name: name.to_owned(),
        closest: closest(name, COLUMNS.iter().map(|column| column.name)),
    })
}

impl Filter {
    /// Understands `text`.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        grammar::parse(text).map(Self)
    }

    /// The conditions, in the order in which they were typed.
    #[must_use]
    pub fn conditions(&self) -> Vec<&Condition> {
        let mut found = Vec::new();
        self.0.collect(&mut found);
        found
    }

    /// The same, with the place in an observation of each condition's column.
    #[must_use]
    pub fn placed(mut self, slot: &dyn Fn(&'static Column) -> usize) -> Self {
        self.0.place(slot);
        self
    }

    /// Whether it holds, as far as that is known already: `known` tells of one condition.
    pub fn decide(&self, known: &mut dyn FnMut(&Condition) -> Option<bool>) -> Option<bool> {
        self.0.decide(known)
    }

    /// Whether it may hold for `row`, of which the values up to the one at `slot` are known.
    #[must_use]
    pub fn may_hold(&self, row: &Observation, slot: usize) -> bool {
        let mut known =
            |condition: &Condition| (condition.slot <= slot).then(|| condition.matches(row.value(condition.slot)));
        self.decide(&mut known) != Some(false)
    }
}

impl Node {
    fn collect<'a>(&'a self, found: &mut Vec<&'a Condition>) {
        match self {
            Self::Is(condition) => found.push(condition),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.collect(found)),
        }
    }

    fn place(&mut self, slot: &dyn Fn(&'static Column) -> usize) {
        match self {
            Self::Is(condition) => condition.slot = slot(condition.column),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter_mut().for_each(|node| node.place(slot)),
        }
    }

    fn decide(&self, known: &mut dyn FnMut(&Condition) -> Option<bool>) -> Option<bool> {
        let (nodes, decisive) = match self {
            Self::Is(condition) => return known(condition),
            Self::All(nodes) => (nodes, false),
            Self::Any(nodes) => (nodes, true),
        };
        let mut is_open = false;
        for node in nodes {
            match node.decide(known) {
                Some(holds) if holds == decisive => return Some(decisive),
                Some(_) => {}
                None => is_open = true,
            }
        }
        (!is_open).then_some(!decisive)
    }
}

impl Condition {
    /// Whether it may hold for a thread in this state, shown as `name`; not known if it is about something else.
    #[must_use]
    pub fn may_be_in(&self, letter: u8, name: &str) -> Option<bool> {
        domain::may_be_in(self, letter, name)
    }

    /// Whether the condition holds for `value`. A mark is compared as its text; it is never less or
    /// greater than a number.
    #[must_use]
    pub fn matches(&self, value: Value<'_>) -> bool {
        match &self.test {
            Test::In(operands) => operands.iter().any(|operand| self.equals(operand, value)),
            Test::NotIn(operands) => !operands.iter().any(|operand| self.equals(operand, value)),
            Test::Matches(regex) => self.is_match(regex, value),
            Test::NotMatches(regex) => !self.is_match(regex, value),
            Test::Less(limit) => self.compare(value, *limit).is_some_and(Ordering::is_lt),
            Test::LessOrEqual(limit) => self.compare(value, *limit).is_some_and(Ordering::is_le),
            Test::Greater(limit) => self.compare(value, *limit).is_some_and(Ordering::is_gt),
            Test::GreaterOrEqual(limit) => self.compare(value, *limit).is_some_and(Ordering::is_ge),
        }
    }

    /// How `value` compares with `limit`; not at all unless it is a number.
    #[expect(clippy::cast_precision_loss, reason = "a comparison with a decimal that a person typed")]
    fn compare(&self, value: Value<'_>, limit: Number) -> Option<Ordering> {
        let Value::Number(number) = value else { return None };
        match limit {
            Number::Exact(limit) => Some(number.cmp(&limit)),
            // Divided, not multiplied: 29 / 100 is the float nearest to 0.29, and 0.29 * 100 is not 29.
            Number::Decimal(limit) => (number as f64 / f64::from(self.column.divisor)).partial_cmp(&limit),
        }
    }

    fn equals(&self, operand: &Operand, value: Value<'_>) -> bool {
        match (operand, value) {
            (Operand::Number(wanted), value) => self.compare(value, *wanted).is_some_and(Ordering::is_eq),
            (Operand::Text(wanted), Value::Text(text)) => wanted == text,
            (Operand::Text(wanted), Value::Mark(mark)) => wanted == mark.text().as_bytes(),
            (Operand::Mark(wanted), Value::Mark(mark)) => *wanted == mark,
            (Operand::Mark(wanted), Value::Text(text)) => wanted.text().as_bytes() == text,
            (Operand::Text(_) | Operand::Mark(_), Value::Number(_)) => false,
        }
    }

    fn is_match(&self, regex: &Regex, value: Value<'_>) -> bool {
        match value {
            Value::Text(text) => regex.is_match(text),
            Value::Mark(mark) => regex.is_match(mark.text().as_bytes()),
            Value::Number(number) => {
                regex.is_match(crate::text::decimal::decimal(number, self.column.divisor).as_bytes())
            }
        }
    }
}

impl Test {
    fn new(column: &'static Column, op: &'static str, value: &str) -> Result<Self, FilterError> {
        let ordering = |make: fn(Number) -> Self| {
            if column.kind.is_number() {
                scaled(column, value).map(make)
            } else {
                Err(FilterError::Ordering { op, column: column.name })
            }
        };
        match op {
            "=" => domain::operands(column, value).map(Self::In),
            "!=" => domain::operands(column, value).map(Self::NotIn),
            "~" => compile(column, value).map(Self::Matches),
            "!~" => compile(column, value).map(Self::NotMatches),
            "<" => ordering(Self::Less),
            "<=" => ordering(Self::LessOrEqual),
            ">" => ordering(Self::Greater),
            _ => ordering(Self::GreaterOrEqual),
        }
    }
}

impl Condition {
    fn new(column: &'static Column, op: &'static str, value: &str) -> Result<Self, FilterError> {
        let condition = Self { column, slot: 0, test: Test::new(column, op, value)? };
        domain::check(&condition, value)?;
        Ok(condition)
    }

    fn any_of(column: &'static Column, values: &[&str], is_wanted: bool) -> Result<Self, FilterError> {
        let mut operands = Vec::new();
        for value in values {
            let condition = Self { column, slot: 0, test: Test::In(domain::operands(column, value)?) };
            domain::check(&condition, value)?;
            if let Test::In(more) = condition.test {
                operands.extend(more);
            }
        }
        if operands.is_empty() {
            return Err(FilterError::EmptyList(column.name));
        }
        Ok(Self { column, slot: 0, test: if is_wanted { Test::In(operands) } else { Test::NotIn(operands) } })
    }
}

fn scaled(column: &'static Column, value: &str) -> Result<Number, FilterError> {
    let whole = value.parse::<i128>().ok().and_then(|whole| whole.checked_mul(column.divisor.into()));
    if let Some(exact) = whole {
        return Ok(Number::Exact(exact));
    }
    let decimal = value.parse().ok().filter(|number: &f64| number.is_finite());
    decimal.map(Number::Decimal).ok_or_else(|| FilterError::Number {
        value: value.to_owned(),
        column: column.name,
        hint: domain::hint_of_number(column, value),
    })
}

/// A pattern over bytes: `.` and classes match UTF-8 characters, as a user expects.
fn compile(column: &'static Column, pattern: &str) -> Result<Regex, FilterError> {
    Regex::new(&domain::pattern(column, pattern))
        .map_err(|error| FilterError::Regex { pattern: pattern.to_owned(), reason: last_line(&error.to_string()) })
}

/// The sentence in which the regex crate says what is wrong, without its drawing of the place.
pub(crate) fn last_line(message: &str) -> String {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(filter: &str, value: Value<'_>) -> bool {
        Filter::parse(filter).unwrap().decide(&mut |condition| Some(condition.matches(value))).unwrap()
    }

    #[test]
    fn text_is_compared_as_bytes() {
        assert!(holds("comm=mysqld", Value::Text(b"mysqld")));
        assert!(holds("comm = (mysqld)", Value::Text(b"mysqld")));
        assert!(!holds("comm != mysqld", Value::Text(b"mysqld")));
        assert!(holds("comm ~ ^my", Value::Text(b"mysqld")));
        assert!(holds("comm !~ 'd d'", Value::Text(b"mysqld")));
        assert!(holds("comm=\"a = b\"", Value::Text(b"a = b")));
    }

    #[test]
    fn states_are_named_by_letter_or_name() {
        let disk = Value::Text(b"Disk (Uninterruptible)");
        assert!(holds("state=D", disk));
        assert!(holds("state == Disk (Uninterruptible)", disk));
        assert!(!holds("state=R", disk));
        for name in ["Running (ON CPU)", "Runnable (waiting for CPU)"] {
            assert!(holds("state=R", Value::Text(name.as_bytes())), "{name}");
            assert!(!holds("state != R", Value::Text(name.as_bytes())), "{name}");
            assert!(holds("state2 = R", Value::Text(name.as_bytes())), "{name}");
            assert!(holds(&format!("state = {name}"), Value::Text(name.as_bytes())), "{name}");
        }
        assert!(!holds("state = Runnable (waiting for CPU)", Value::Text(b"Running (ON CPU)")));
    }

    #[test]
    fn numbers_are_compared_in_the_columns_unit() {
        assert!(holds("utime_sec > 1.5", Value::Number(151)));
        assert!(!holds("utime_sec > 1.5", Value::Number(150)));
        assert!(holds("uid=0", Value::Number(0)));
        assert!(holds("uid >= 1000", Value::Number(1000)));
        assert!(holds("utime_sec ~ ^1\\.51$", Value::Number(151)));
    }

    #[test]
    fn marks_are_compared_as_text_and_are_no_numbers() {
        assert!(holds("syscall=[running]", Value::Mark(Mark::Running)));
        assert!(holds("syscall_id != 202", Value::Mark(Mark::Running)));
        assert!(!holds("syscall_id > -5", Value::Mark(Mark::Running)));
        assert!(holds("syscall_id = [denied]", Value::Mark(Mark::Denied)));
        assert!(holds("wchan ~ denied", Value::Mark(Mark::Denied)));
    }

    #[test]
    fn patterns_have_the_classes_that_everyone_types() {
        assert!(holds(r"comm ~ ^kworker/\d+:\d", Value::Text(b"kworker/12:3")));
        assert!(holds(r"comm ~ \bsql\s\w+$", Value::Text(b"my sql writer")));
        assert!(holds("comm ~ (?i)^MYSQLD", Value::Text(b"mysqld")));
    }

    #[test]
    fn errors_name_what_is_wrong_and_what_would_be_right() {
        let error = |text: &str| Filter::parse(text).unwrap_err().to_string();
        assert!(error("comm").contains("COLUMN OP VALUE"));
        assert!(error("= 4").contains("COLUMN OP VALUE"));
        assert!(error("sycall = read").contains("did you mean syscall"));
        assert!(error("comm < 4").contains("comm is text"));
        assert!(error("uid = root").contains("not a number"));
        assert!(error("uid = root").contains("user = root"), "{}", error("uid = root"));
        assert!(error("comm ~ (").contains("unclosed group"));
    }

    fn error(text: &str) -> String {
        Filter::parse(text).unwrap_err().to_string()
    }

    /// Whether the whole of `text` holds where the columns have these values.
    fn decides(text: &str, values: &[(&str, &str)]) -> bool {
        let filter = Filter::parse(text).unwrap();
        let decision = filter.decide(&mut |condition| {
            let (_, value) = values.iter().find(|(name, _)| *name == condition.column.name).unwrap();
            let number = value.parse().ok().filter(|_| condition.column.kind.is_number());
            Some(condition.matches(number.map_or(Value::Text(value.as_bytes()), Value::Number)))
        });
        decision.unwrap()
    }

    #[test]
    fn conditions_are_put_together_by_and_or_and_parentheses() {
        let disk = [("state", "Disk (Uninterruptible)"), ("comm", "a or b"), ("pid", "7")];
        let running = [("state", "Running (ON CPU)"), ("comm", "x"), ("pid", "8")];
        for (text, in_disk, in_running) in [
            ("state=R or state=D", true, true),
            ("state = D OR pid = 8", true, true),
            ("state in (R, D)", true, true),
            ("state IN(R)", false, true),
            ("state not in (R, S)", true, false),
            ("state in ('Disk (Uninterruptible)', S)", true, false),
            ("state in (Disk (Uninterruptible), S)", true, false),
            ("pid in (8,9) or comm = x", false, true),
            // and binds closer than or.
            ("pid = 7 or pid = 8 and state = D", true, false),
            ("(pid = 7 or pid = 8) and state = D", true, false),
            ("(pid = 7 or pid = 8) and state = R", false, true),
            ("((state = Disk (Uninterruptible) or comm = (x)))", true, true),
            ("(state = Disk (Uninterruptible)) and pid=7", true, false),
            // A value goes on until another condition begins.
            ("comm = a or b", true, false),
            ("comm = 'a or b'", true, false),
            ("comm ~ (a|x)", true, true),
            ("(comm ~ ^(a|y)) and pid < 8", true, false),
            ("comm = \"a or b\" and pid=7", true, false),
            ("comm ~ \\( or pid = 8", false, true),
        ] {
            assert_eq!(decides(text, &disk), in_disk, "{text} in D");
            assert_eq!(decides(text, &running), in_running, "{text} in R");
        }
    }

    #[test]
    fn what_is_known_early_decides_early() {
        let filter = Filter::parse("(state_id = R and comm = x) or (state_id = D and comm = y)").unwrap();
        let decide = |letter: &'static [u8]| {
            filter.decide(&mut |condition| {
                (condition.column.name == "state_id").then(|| condition.matches(Value::Text(letter)))
            })
        };
        assert_eq!(decide(b"S"), Some(false));
        assert_eq!(decide(b"D"), None);
    }

    #[test]
    fn errors_of_what_is_put_together_say_where() {
        assert!(error("state=R or").contains("one of"), "{}", error("state=R or"));
        assert!(error("(state=R").contains("not closed"));
        assert!(error("state in (R, D").contains("not closed"));
        assert!(error("state in ()").contains("empty"));
        assert!(error("'state=R'").contains("COLUMN OP VALUE"));
        assert!(error("(state=R) pid=7").contains("put conditions together"));
        assert!(error(&format!("{}pid=1{}", "(".repeat(33), ")".repeat(33))).contains("nested"));
        assert!(Filter::parse(&format!("{}pid=1{}", "(".repeat(32), ")".repeat(32))).is_ok());
        assert!(error("state = R or comn = x").contains("did you mean comm"));
    }

    #[test]
    fn a_name_matches_as_it_is_printed() {
        for (name, typed) in
            [("x", "comm=(x)"), ("(x)", "comm=(x)"), ("(x)", "comm=((x))"), ("(sd-pam)", "comm2 = (sd-pam)")]
        {
            assert!(holds(typed, Value::Text(name.as_bytes())), "{typed} of {name}");
        }
        assert!(holds(r"comm2 = \x1b[2J", Value::Text(b"\x1b[2J")));
        assert!(holds(r"comm = \x1b[*J", Value::Text(b"\x1b[*J")), "the digits of the escape are none of the name");
        assert!(holds(r"comm = (\u{202e}a\xff)", Value::Text(b"\xe2\x80\xaea\xff")));
        assert!(holds(r"comm2 = a\\x1b", Value::Text(br"a\x1b")), "printed with its backslash doubled");
        assert!(holds(r"cgroup = /a\x2db", Value::Text(br"/a\x2db")));
    }

    #[test]
    fn a_container_matches_by_its_whole_id() {
        let id = "4fe3bb200489d71428a82ddf32d053994fe3bb200489d71428a82ddf32d05399";
        for typed in [id, &id[..12], &id[..20]] {
            assert!(holds(&format!("container={typed}"), Value::Text(b"4fe3bb200489")), "{typed}");
            assert!(holds(&format!("container ~ ^{typed}"), Value::Text(b"4fe3bb200489")), "{typed}");
            assert!(!holds(&format!("container={typed}"), Value::Text(b"5fe3bb200489")), "{typed}");
        }
        assert!(holds("container in (web-1)", Value::Text(b"web-1")));
    }

    #[test]
    fn what_a_column_never_shows_is_an_error_that_says_what_it_does() {
        for (text, says) in [
            ("state=Q", "one of R S D T t X x Z P I K W"),
            ("state != Q", "one of R S D"),
            ("state_id=Q", "one of R S D"),
            ("state = RD", "state in (R, D)"),
            ("state = R, D", "state in (R, D)"),
            ("state = R or D", "state in (R, D)"),
            ("state = R|D", "state in (R, D)"),
            ("state = Running (ON CPUS)", "did you mean 'Running (ON CPU)'"),
            ("state ~ ^R$", "one of R S D"),
            ("state2 in (R, Q)", "one of R S D"),
            ("kthread = 7", "it is 0 or 1"),
            ("kthread != 7", "it is 0 or 1"),
            ("oncpu > 1", "it is 0 or 1"),
            ("oncpu = yes", "yes is 1"),
            ("nonewprivs ~ 2", "it is 0 or 1"),
            ("nice = 20", "from -20 to 19"),
            ("seccomp = 3", "from 0 to 2"),
            ("comm = kworker/0:1", "write 'kworker/*:*', or comm2 = 'kworker/0:1'"),
            ("filename = socket:[123]", "socket:[*]"),
            ("filenamesum = /a/b1", "/a/b*"),
            ("syscall = raed", "did you mean read"),
            ("arg0 = 5", "write arg0 = 0x5"),
            ("eip = 0X1F", "hexadecimal"),
        ] {
            assert!(error(text).contains(says), "{text}: {}", error(text));
        }
        for text in [
            "state = [unsupported]",
            "state2 = [unsupported]",
            "state ~ (?i)run",
            "oncpu = [unsupported]",
            "oncpu >= 1",
            "syscall = io_uring_enter",
            "syscall = waitpid",
            "syscall = 9999",
            "syscall = [user_worker]",
            "syscall = -",
            "rchar = -",
            "arg0 = 0x5",
            "arg0 = -",
            "filename = socket:[*]",
            "filename = /a/b1",
            "comm ~ worker.1",
        ] {
            assert!(Filter::parse(text).is_ok(), "{text}: {:?}", Filter::parse(text));
        }
    }
}
