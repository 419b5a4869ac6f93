//! What a reader of a report on recordings must know of them.

use crate::proc::state::state_name;
use crate::record::{RecordError, Recording, unrecorded};
use crate::replay::question::Question;
use crate::text::sentence::shown;
use crate::time::moment::unknown_zone;

/// The warnings about the recordings, and one if times cannot be shown in the local time zone.
pub(super) fn warnings(recordings: &mut [Box<dyn Recording>], question: &Question) -> Result<Vec<String>, RecordError> {
    let mut warnings = unrecorded::sentences(recordings, &question.plan.required(), question.window())?;
    for recording in &*recordings {
        let (header, path) = (recording.header(), recording.path());
        let path = shown(&path);
        warnings.extend(recording.warnings());
        if recording.facts().is_none() && question.is_of_all() && !recording.is_of_original() {
            warnings.push(format!(
                "{path}: the run was cut off, or still goes on; only what it has written so far is counted"
            ));
        }
        let missing: String = (b'A'..=b'z')
            .filter(|letter| state_name(*letter).is_some())
            .filter(|letter| question.plan.gate.passes(*letter) && !header.states.contains(char::from(*letter)))
            .map(char::from)
            .collect();
        if !missing.is_empty() {
            warnings.push(format!("{path}: threads in the states {missing} were not recorded"));
        }
        let narrower: Vec<&String> =
            header.filters.iter().filter(|filter| !question.filters.contains(filter)).collect();
        for filter in narrower {
            warnings.push(format!("{path}: only rows that met --where '{filter}' were recorded"));
        }
    }
    let hosts = distinct(recordings.iter().map(|recording| recording.header().host.as_str())).len();
    if hosts > 1 {
        warnings.push(format!("{hosts} hosts are counted together: averages are per host"));
    }
    warnings.extend(unknown_zone());
    Ok(warnings)
}

/// The different ones of `texts`, in the order in which they first occur.
pub(super) fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    texts.for_each(|text| {
        if !seen.contains(&text) {
            seen.push(text);
        }
    });
    seen
}
