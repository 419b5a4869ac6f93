//! `--where`: conditions on columns, `COL OP VALUE` and `COL in (VALUE, ...)`, combined with `and`, `or` and parentheses.
//!
//! `grammar` parses the text, `build` makes the conditions, `check` refuses conditions that no value of the column can meet.

mod build;
mod check;
mod condition;
mod error;
mod expression;
mod grammar;

use crate::ask::column::Column;
use crate::row::observation::Observation;

pub use condition::Condition;
pub use error::FilterError;
use expression::Expression;

/// One `--where`.
#[derive(Debug, Clone)]
pub struct Filter(Expression);

impl Filter {
    /// Parses `text`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
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

    /// Sets the index in an observation of each condition's column.
    #[must_use]
    pub(crate) fn with_slots(mut self, slot: &dyn Fn(&'static Column) -> usize) -> Self {
        self.0.assign_slots(slot);
        self
    }

    /// Whether the filter holds, given what `known` says of each condition; `None` while that is undecided.
    pub fn decide(&self, known: &mut dyn FnMut(&Condition) -> Option<bool>) -> Option<bool> {
        self.0.decide(known)
    }

    /// Whether the filter may hold for `row`, whose values up to index `slot` have been read.
    #[must_use]
    pub(crate) fn may_hold(&self, row: &Observation, slot: usize) -> bool {
        let mut known =
            |condition: &Condition| (condition.slot <= slot).then(|| condition.matches(row.value(condition.slot)));
        self.decide(&mut known) != Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::observation::{Mark, Value};

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
        assert!(error("comm < 4").contains("comm is a text column"));
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
        assert!(error("(state=R) pid=7").contains("combine conditions"));
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
            ("kthread = 7", "the value is 0 or 1"),
            ("kthread != 7", "the value is 0 or 1"),
            ("oncpu > 1", "the value is 0 or 1"),
            ("oncpu = yes", "write 1 for yes"),
            ("nonewprivs ~ 2", "the value is 0 or 1"),
            ("nice = 20", "from -20 to 19"),
            ("seccomp = 3", "from 0 to 2"),
            ("comm = kworker/0:1", "write 'kworker/*:*', or use comm2 = 'kworker/0:1'"),
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
