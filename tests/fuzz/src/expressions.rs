//! What users type to choose columns: any text gives a consistent plan, or an error with a message.
//!
//! A line of the input is a condition, or after `g:`, `s:` or `o:` names to group by, to select or to order by.

use std::sync::Arc;

use psn::ask::filter::Filter;
use psn::ask::plan::{Plan, PlanError, PlanRequest, SortKey, StateGate, Statistic};
use psn::count::Aggregator;
use psn::output::{Format, RenderOptions, render};
use psn::proc::source::Source;
use psn::report::{Facts, Report, Ticks};
use psn::row::last::LastValues;
use psn::row::observation::{Mark, Observation, Value};

/// Conditions, names of columns and items of `-s`.
pub fn expressions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut request = PlanRequest::default();
    for line in text.lines() {
        let names = |list: &str| list.split(',').map(str::trim).map(str::to_owned).collect::<Vec<_>>();
        match line.split_at_checked(2) {
            Some(("g:", list)) => request.group_by.extend(names(list)),
            Some(("s:", list)) => request.select.extend(names(list)),
            Some(("o:", name)) => request.sort = Some(name.to_owned()),
            _ => match Filter::parse(line) {
                Ok(filter) => {
                    condition(&filter, line);
                    request.filters.push(filter);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            },
        }
    }
    match Plan::new(&request, StateGate::active()) {
        Ok(plan) => {
            holds_together(&plan, &request);
            count(&plan);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // A condition names an existing column, so it can make a plan fail only by requiring states that are left out.
            let is_of_states = matches!(error, PlanError::LeftOut { .. } | PlanError::NoState);
            let without = PlanRequest { filters: Vec::new(), ..request };
            assert!(is_of_states || Plan::new(&without, StateGate::active()).is_err());
        }
    }
}

/// Values of every type, including those that numbers and texts are likely to be compared with.
fn values(line: &str) -> Vec<Value<'_>> {
    let numbers = [0, 1, -1, 29, 100, 151, 202, i64::MAX.into(), u64::MAX.into(), i128::MIN, i128::MAX];
    let texts = ["", "mysqld", "Disk (Uninterruptible)", "[denied]", "-", line.rsplit('=').next().unwrap_or_default()];
    let other = [Value::Text(b"\xff\x00)"), Value::Text(line.as_bytes())];
    numbers
        .map(Value::Number)
        .into_iter()
        .chain(texts.map(|text| Value::Text(text.as_bytes())))
        .chain(other)
        .chain(Mark::ALL.map(Value::Mark))
        .collect()
}

/// A condition and its opposite never agree, and white space around a condition changes nothing.
///
/// For several combined conditions, only the results for no known values and for all known values are checked.
fn condition(filter: &Filter, line: &str) {
    let conditions = filter.conditions();
    assert!(!conditions.is_empty());
    assert_eq!(filter.decide(&mut |_| None), None);
    assert_eq!(filter.decide(&mut |_| Some(true)), Some(true));
    assert_eq!(filter.decide(&mut |_| Some(false)), Some(false));
    let [only] = conditions.as_slice() else { return };
    let name = only.column.name;
    let typed = line.trim_start();
    let given = typed.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(typed.len());
    let (given, rest) = typed.split_at(given);
    // Another spelling of the name, a list, or a condition in parentheses.
    if !given.eq_ignore_ascii_case(name) {
        return;
    }
    let rest = rest.trim_start();
    let matches =
        |filter: &Filter, shown: Value<'_>| filter.decide(&mut |condition| Some(condition.matches(shown))).unwrap();
    let parse = |op: &str, value: &str| Filter::parse(&format!("{name}{op}{value}"));
    let split = ["!=", "!~", "<=", ">=", "==", "=", "~", "<", ">"].into_iter();
    let Some((op, value)) = split.filter_map(|op| Some((op, rest.strip_prefix(op)?))).next() else { return };
    let spaced = Filter::parse(&format!(" {name}  {op} {} ", value.trim())).unwrap();
    let opposite = match op {
        "=" | "==" => "!=",
        "!=" => "==",
        "~" => "!~",
        "!~" => "~",
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        _ => "<",
    };
    // A value that a column never shows is an error; the opposite condition need not be one.
    let Ok(opposite) = parse(opposite, value) else { return };
    for shown in values(line) {
        let holds = matches(filter, shown);
        assert_eq!(matches(&spaced, shown), holds, "white space matters: {line:?}");
        let orders = matches!(op, "<" | "<=" | ">" | ">=");
        if !orders || matches!(shown, Value::Number(_)) {
            assert_ne!(matches(&opposite, shown), holds, "{line:?} and its opposite agree on {shown:?}");
        } else {
            assert!(!holds && !matches(&opposite, shown), "{line:?} orders {shown:?}");
        }
        if orders && matches!(shown, Value::Number(_)) {
            let [Ok(less), Ok(equal), Ok(greater)] = ["<", "==", ">"].map(|op| parse(op, value)) else { continue };
            let [less, equal, greater] = [less, equal, greater].map(|filter| matches(&filter, shown));
            assert_eq!(u8::from(less) + u8::from(equal) + u8::from(greater), 1, "{line:?} of {shown:?}");
        }
    }
}

/// Every slot in the plan is the index of one of its columns.
fn holds_together(plan: &Plan, request: &PlanRequest) {
    let columns = plan.columns.len();
    assert!(plan.columns.is_sorted_by_key(|column| column.source), "cheapest first");
    assert!(plan.columns.iter().enumerate().all(|(at, c)| plan.columns.iter().skip(at + 1).all(|d| d.name != c.name)));
    assert!(
        plan.dimensions.iter().chain(plan.measures.iter().map(|measure| &measure.slot)).all(|slot| *slot < columns)
    );
    assert!(!plan.dimensions.is_empty());
    assert_eq!(plan.filters.len(), columns);
    assert!(plan.filters.iter().map(Vec::len).sum::<usize>() >= request.filters.len());
    for (column, filters) in plan.columns.iter().zip(&plan.filters) {
        let is_about = |filter: &Filter| filter.conditions().iter().any(|found| found.column.name == column.name);
        assert!(filters.iter().all(is_about));
        assert!(plan.sources.contains(column.source));
    }
    assert!(plan.sources.contains(Source::Stat));
    assert_eq!(plan.selected.len(), request.select.len());
    for (selected, item) in plan.selected.iter().zip(&request.select) {
        assert_eq!(&selected.header, item);
        assert!(!matches!(selected.statistic, Statistic::Measure(place) if place >= plan.measures.len()));
    }
    let headers = plan.headers();
    assert_eq!(headers.len(), 2 + plan.selected.len() + plan.dimensions.len());
    for (place, header) in headers.iter().enumerate() {
        let sorted = PlanRequest { sort: Some(header.clone()), ..request.clone() };
        let key = Plan::new(&sorted, StateGate::active()).unwrap().sort;
        let first = headers.iter().position(|other| other.eq_ignore_ascii_case(header)).unwrap();
        assert!(first <= place);
        let expected = match first {
            0 | 1 => SortKey::Samples,
            first if first < 2 + plan.selected.len() => SortKey::Selected(first - 2),
            first => SortKey::Dimension(first - 2 - plan.selected.len()),
        };
        assert_eq!(key, expected, "every header is a key to sort by: {header}");
    }
}

/// Counts, sorts and prints three ticks of values of every type; nothing may be lost.
fn count(plan: &Plan) {
    let aggregator = Aggregator::new(plan);
    let mut fold = aggregator.fold();
    let mut last = LastValues::default();
    let mut row = Observation::default();
    let mut counted = 0;
    for tick in 0..3 {
        for value in values("mysqld") {
            row.clear();
            row.tid = tick + 1;
            // Text in a column of numbers does not occur; any number does.
            plan.columns.iter().for_each(|column| match value {
                Value::Text(text) if column.kind.is_number() => row.push_number(i128::from(text.len() as u64)),
                Value::Number(number) => row.push_number(number.clamp(i64::MIN.into(), u64::MAX.into())),
                other => row.push(other),
            });
            fold.add(&row, tick, &mut last);
            counted += 1;
        }
        aggregator.commit(&mut fold, tick);
    }
    let ticks = Ticks { expected: 3, completed: 3, ..Ticks::default() };
    let report = Report::new(plan, &aggregator, None, Facts { ticks, ..Facts::default() });
    assert_eq!(report.rows.iter().map(psn::report::Row::samples).sum::<u64>(), counted);
    assert!(report.rows.iter().all(|row| {
        row.statistics.len() == report.columns.statistics.len() && row.group.len() == report.columns.dimensions.len()
    }));
    let report = Arc::new(report);
    for format in [Format::Table, Format::Csv, Format::Json, Format::Folded] {
        let mut out = Vec::new();
        render(&report, format, &RenderOptions::default(), &mut out).unwrap();
        assert!(std::str::from_utf8(&out).is_ok());
    }
}
