//! Groups parts by run, without those that others replace.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::record::parquet::find::{PartLocation, SkippedFiles};
use crate::record::parquet::info::{HeaderJson, PartInfo};
use crate::record::parquet::name::PartName;
use crate::record::parquet::recording::decode::FoundPart;
use crate::record::{Header, RecordError};

/// The parts that others replace: those of the same run and directory that name them and have all of their ticks.
fn replaced(found: &[(PartLocation, PartInfo)]) -> HashSet<PathBuf> {
    let infos: HashMap<PathBuf, &PartInfo> = found.iter().map(|(location, info)| (location.path(), info)).collect();
    let mut replaced = HashSet::new();
    for (location, info) in found {
        let Some(own) = location.name().and_then(PartName::parse) else { continue };
        for name in &info.replaces {
            let is_covered = PartName::parse(name).is_some_and(|other| own.covers(&other));
            let path = location.beside(name).path();
            let has_all = |other: &&PartInfo| other.header == info.header && info.ticks.covers(&other.ticks);
            if is_covered && infos.get(&path).is_some_and(has_all) {
                replaced.insert(path);
            }
        }
    }
    replaced
}

/// The parts of a run.
#[derive(Debug)]
pub(super) struct FoundRun {
    pub header: Header,
    /// The parts, and the facts that they contain.
    pub parts: Vec<(FoundPart, Option<String>)>,
    json: HeaderJson,
}

/// Groups parts by run, each run in the order in which it was written. Also returns which parts are skipped. Fails if no
/// part can be read.
pub(super) fn runs(found: Vec<(PartLocation, PartInfo)>) -> Result<(Vec<FoundRun>, SkippedFiles), RecordError> {
    let replaced = replaced(&found);
    let mut headers: HashMap<HeaderJson, Result<Header, String>> = HashMap::new();
    let mut runs: BTreeMap<String, FoundRun> = BTreeMap::new();
    let (mut refused, mut skipped) = (None, SkippedFiles::default());
    for (location, PartInfo { ticks, header: json, facts, .. }) in found {
        let path = location.path();
        if replaced.contains(&path) {
            continue;
        }
        let parsed = headers.entry(json.clone()).or_insert_with(|| {
            parse(&json, &path).map_err(|error| {
                let reason = reason(&error);
                refused.get_or_insert(error);
                reason
            })
        });
        match parsed {
            Err(reason) => skipped.add(path, reason),
            Ok(header) => {
                let new = || FoundRun { header: header.clone(), parts: Vec::new(), json: json.clone() };
                let run = runs.entry(header.run.clone()).or_insert_with(new);
                if run.json == json {
                    run.parts.push((FoundPart { location, ticks }, facts));
                } else {
                    skipped.add(path, &"its header differs from that of the other parts of its run");
                }
            }
        }
    }
    if let (true, Some(error)) = (runs.is_empty(), refused) {
        return Err(error);
    }
    let mut runs: Vec<FoundRun> = runs.into_values().collect();
    // Not by time: the clock may have been set back.
    runs.iter_mut().for_each(|run| run.parts.sort_by_key(|(part, _)| (part.ticks.first, part.ticks.last)));
    Ok((runs, skipped))
}

/// Parses the header of the part at `path`, if this psn can read it.
fn parse(json: &HeaderJson, path: &Path) -> Result<Header, RecordError> {
    let header = json.parse().map_err(|damage| RecordError::not_recording(path, damage))?;
    header.check(path).map(|()| header)
}

fn reason(error: &RecordError) -> String {
    match error {
        RecordError::NotRecording { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
