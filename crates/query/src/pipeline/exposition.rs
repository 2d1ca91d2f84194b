//! Prometheus' text format, as far as this product's own services write it: no timestamps, no exemplars.

use std::borrow::Cow;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample<'a> {
    /// The family, for a histogram with `_bucket`, `_sum` or `_count`.
    pub name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    value: &'a str,
}

impl Sample<'_> {
    /// The value of a label, empty where there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// A number of things; what isn't one is none.
    pub fn count(&self) -> u64 {
        self.value.parse().unwrap_or(0)
    }

    /// What may also be below zero.
    pub fn level(&self) -> i64 {
        self.value.parse().unwrap_or(0)
    }
}

/// All samples of a text. A line that can't be read is left out.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label, value));
            rest = after;
        }
    }
    let value = rest.strip_prefix(' ')?;
    (!name.is_empty() && !value.is_empty()).then_some(Sample { name, labels, value })
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.as_bytes().get(end) == Some(&b'"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_values_are_read_as_they_were_written() {
        let text = "# HELP a_total What.\n# TYPE a_total counter\na_total 5\n\
                    b{stage=\"state\",detail=\"a \\\"b\\\\c\\nd\"} -3\nc_bucket{le=\"+Inf\"} 12\n";
        let found: Vec<_> = samples(text).collect();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].name, found[0].count(), found[0].label("stage")), ("a_total", 5, ""));
        assert_eq!((found[1].label("stage"), found[1].level()), ("state", -3));
        assert_eq!(found[1].label("detail"), "a \"b\\c\nd");
        assert_eq!((found[2].label("le"), found[2].count()), ("+Inf", 12));
    }

    #[test]
    fn what_is_no_sample_is_left_out() {
        for text in ["", "a", "a{", "a{b", "a{b=\"c", "a{b=\"c\\", "a{b=\"c\"}", "{} ", " 1"] {
            assert_eq!(samples(text).count(), 0, "{text}");
        }
    }
}
