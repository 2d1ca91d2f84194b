//! Distinct actors over a range: the union of the sets of its days, so that who came on three days is one. Sets are kept
//! in chunks of numbers: the chunks of the days are united place by place.

use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};

use commerce::Source;
use commerce::members::Members;

use super::Question;

/// Numbers of actors, by the texts of some dimensions.
#[derive(Debug, Default)]
pub(super) struct Counts(Option<Arc<HashMap<Vec<String>, i128>>>);

/// Texts that are looked for among those that are kept.
#[derive(Hash)]
struct Texts<'a>(&'a [&'a str]);

impl Equivalent<Vec<String>> for Texts<'_> {
    fn equivalent(&self, known: &Vec<String>) -> bool {
        self.0 == known.as_slice()
    }
}

impl Counts {
    /// The number of a combination, 0 where there are none.
    pub(super) fn of(&self, texts: &[&str]) -> i128 {
        self.0.as_ref().and_then(|counts| counts.get(&Texts(texts))).copied().unwrap_or(0)
    }
}

/// How many actors each combination of dimensions has over the range.
pub(super) fn distinct<const D: usize>(
    question: &Question<'_>,
    figure: &str,
    dimensions: [&str; D],
) -> Counts {
    remembered(question, figure, &dimensions.join(","), || {
        let source = question.source.map(Source::as_str);
        let takes = |known: &str| source.is_none_or(|source| known == source);
        let mut counts = HashMap::new();
        for ((combination, _), members) in unions(question, figure, dimensions, takes) {
            *counts.entry(combination.map(str::to_owned).into()).or_default() += i128::from(members.count());
        }
        counts
    })
}

/// Counts of the sets of a figure over the range and of the source that is asked for: those that were computed last, as
/// long as the figure hasn't changed. `what` tells them from others of the figure.
pub(super) fn remembered(
    question: &Question<'_>,
    figure: &str,
    what: &str,
    compute: impl FnOnce() -> HashMap<Vec<String>, i128>,
) -> Counts {
    let (range, source) = (question.range, question.source.map_or("", Source::as_str));
    let asked = format!("{what} {source} {} {}", range.first(), range.days());
    let figure = question.cells.and_then(|cells| cells.figure(figure));
    Counts(figure.map(|figure| figure.asked.counts.answer(&asked, compute)))
}

/// The sets of a figure over the range, by dimensions and chunk, of the sources of which `takes` is true; what isn't of
/// one source has the empty name.
pub(super) fn unions<'a, const D: usize>(
    question: &Question<'a>,
    figure: &str,
    dimensions: [&str; D],
    takes: impl Fn(&str) -> bool,
) -> HashMap<([&'a str; D], &'a str), Members> {
    let mut unions: HashMap<([&'a str; D], &'a str), Members> = HashMap::new();
    let figure = question.cells.and_then(|cells| cells.figure(figure));
    for series in figure.iter().flat_map(|figure| figure.series()) {
        let text = |name: &str| series.dimensions.get(name).map_or("", String::as_str);
        if !takes(text("source")) {
            continue;
        }
        series.unite(question.range, unions.entry((dimensions.map(text), text("chunk"))).or_default());
    }
    unions
}

#[cfg(test)]
pub(crate) mod samples {
    use std::collections::BTreeMap;

    use commerce::members::Members;
    use commerce::{Metric, ReceivedTime, WorkspaceId};

    /// One chunk of a set of a day.
    pub(crate) fn set(figure: &str, day: &str, dimensions: &[(&str, &str)], numbers: &[u32]) -> Metric {
        let mut members = Members::default();
        numbers.iter().for_each(|number| members.insert(Members::place(*number).1));
        let chunk = numbers.first().map_or(0, |number| Members::place(*number).0);
        let mut all: BTreeMap<String, String> =
            dimensions.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        all.entry("source".to_owned()).or_insert_with(|| "analytics".to_owned());
        all.insert("chunk".to_owned(), chunk.to_string());
        Metric {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            metric: figure.to_owned(),
            window: "day".to_owned(),
            window_start: day.to_owned(),
            dimensions: all,
            values: BTreeMap::from([("actors".to_owned(), members.count())]),
            revision: 0,
            corrected: false,
            as_of: ReceivedTime(0),
            window_end_at: None,
            members: Some(members.written()),
        }
    }
}
