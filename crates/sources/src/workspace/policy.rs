//! The part of a configuration that version 1 of the policy is made of.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use commerce::person::Identifier;
use commerce::policy::{
    ABANDONED_AFTER, DEFAULT_ABANDONED_AFTER, DEFAULT_NEIGHBOURS, MOST_BLOCKED, NEIGHBOURS, REUSED_AFTER,
};
use commerce::{EventName, Source};

pub(super) fn ownership(
    named: &BTreeMap<String, String>,
    wrong: &mut impl FnMut(&str, String),
) -> BTreeMap<EventName, Source> {
    let mut owners = BTreeMap::new();
    for (event, source) in named {
        match (EventName::parse(event), Source::parse(source)) {
            (Some(event), Some(source)) => {
                owners.insert(event, source);
            }
            (None, _) => wrong(&format!("ownership.{event}"), format!("'{event}' is not a canonical event")),
            (_, None) => wrong(&format!("ownership.{event}"), format!("'{source}' is not a source")),
        }
    }
    owners
}

pub(super) fn precedence(named: &[String], wrong: &mut impl FnMut(&str, String)) -> Vec<Source> {
    let mut order = Vec::with_capacity(Source::ALL.len());
    for text in named {
        match Source::parse(text) {
            Some(source) if order.contains(&source) => {
                wrong("source_precedence", format!("'{text}' is named twice"));
            }
            Some(source) => order.push(source),
            None => wrong("source_precedence", format!("'{text}' is not a source")),
        }
    }
    let rest: Vec<_> = Source::ALL.into_iter().filter(|source| !order.contains(source)).collect();
    order.extend(rest);
    order
}

/// The handles as they are compared, sorted, each once.
pub(super) fn blocked(named: &[String], wrong: &mut impl FnMut(&str, String)) -> Vec<String> {
    let mut handles = Vec::with_capacity(named.len());
    for (index, text) in named.iter().enumerate() {
        match Identifier::parse(text) {
            Some(handle) => handles.push(handle.to_string()),
            None => wrong(
                &format!("blocked_handles[{index}]"),
                format!("'{text}' is no handle; write user:5 or email:test@acme.example"),
            ),
        }
    }
    if handles.len() > MOST_BLOCKED {
        wrong("blocked_handles", format!("{} handles are named, {MOST_BLOCKED} can be", handles.len()));
    }
    handles.sort_unstable();
    handles.dedup();
    handles
}

pub(super) fn neighbours(said: Option<u32>, wrong: &mut impl FnMut(&str, String)) -> i32 {
    within("shared_handle_neighbours", said, (DEFAULT_NEIGHBOURS, &NEIGHBOURS), wrong)
}

pub(super) fn abandoned_after(said: Option<u32>, wrong: &mut impl FnMut(&str, String)) -> i64 {
    within("abandoned_after_s", said, (DEFAULT_ABANDONED_AFTER, &ABANDONED_AFTER), wrong)
}

/// 0 where ids are never used again.
pub(super) fn reused_after(said: Option<u32>, wrong: &mut impl FnMut(&str, String)) -> i64 {
    within("reuse_transaction_id_after_s", said, (0, &REUSED_AFTER), wrong)
}

fn within<T>(
    key: &str,
    said: Option<u32>,
    (default, range): (T, &RangeInclusive<T>),
    wrong: &mut impl FnMut(&str, String),
) -> T
where
    T: TryFrom<u32> + PartialOrd + Display,
{
    let Some(said) = said else { return default };
    match T::try_from(said).ok().filter(|number| range.contains(number)) {
        Some(number) => number,
        None => {
            wrong(key, format!("{said} is not from {} to {}", range.start(), range.end()));
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Workspace, WorkspaceConfig};

    #[test]
    fn what_is_unset_is_as_the_contracts_say() {
        let rules = Workspace::try_new(WorkspaceConfig::new("acme")).unwrap().rules;
        assert_eq!((rules.shared_handle_neighbours, rules.abandoned_after_s), (100, 3_600));
        assert!(rules.blocked_handles.is_empty() && rules.ownership.is_empty());
        assert_eq!((rules.include_unlinked_payments, rules.reuse_transaction_id_after_s), (false, 0));
    }

    #[test]
    fn handles_are_compared_as_deliveries_write_them() {
        let config = WorkspaceConfig {
            blocked_handles: vec!["email: Test@Acme.example".into(), "user:0".into(), "user:0".into()],
            ..WorkspaceConfig::new("acme")
        };
        let rules = Workspace::try_new(config).unwrap().rules;
        assert_eq!(rules.blocked_handles, ["email:test@acme.example", "user:0"]);
    }

    #[test]
    fn every_mistake_is_listed_with_its_place() {
        let config = WorkspaceConfig {
            blocked_handles: vec!["user:1".into(), "test@acme.example".into()],
            shared_handle_neighbours: Some(1),
            abandoned_after_s: Some(0),
            reuse_transaction_id_after_s: Some(86_399),
            ..WorkspaceConfig::new("acme")
        };
        let mistakes = Workspace::try_new(config).unwrap_err();
        let places: Vec<&str> = mistakes.iter().filter_map(|mistake| mistake.split(": ").next()).collect();
        assert_eq!(
            places,
            [
                "workspaces.acme.blocked_handles[1]",
                "workspaces.acme.shared_handle_neighbours",
                "workspaces.acme.abandoned_after_s",
                "workspaces.acme.reuse_transaction_id_after_s"
            ]
        );
    }
}
