//! The policy of a workspace: what changes the meaning of its figures, in numbered versions that stand in the stream.
//!
//! A version is published once and never changes. Version 1 is what the configuration said when the workspace was seen
//! first, and holds from its first delivery on. A later one holds for what comes after its place in the stream:
//!
//! | what | falls under the version that was in force |
//! |---|---|
//! | an order, with everything that is ever said of it | when its first delivery arrived |
//! | anything else that a delivery says | when the delivery arrived |
//! | a link between two handles that deliveries show | when it was shown first |
//!
//! So no figure moves because of a change, none depends on the order of processing, and a replay finds each delivery
//! under the version that it was counted by. What days and totals are cut by can't change under them: the time zone and
//! the base currency stay those of version 1, see [`Policy::after`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::event::{Entity, Event, EventName, Keys, Origin, Payload, SCHEMA_VERSION};
use crate::person::Identifier;
use crate::{Currency, EventTime, Mark, ReceivedTime, Source, WorkspaceId};

/// The property of an event and of a fact that holds the version, as JSON.
const PROPERTY: &str = "policy";
/// The property of a fact that holds where the version begins to count.
const FROM: &str = "in_force_after";

/// How many neighbours a handle may be allowed: beyond it the links of one component aren't all kept.
pub const NEIGHBOURS: RangeInclusive<i32> = 2..=250;
/// How many neighbours it has where nothing is set.
pub const DEFAULT_NEIGHBOURS: i32 = 100;
/// How long a cart may be allowed to rest, in seconds: up to thirty days.
pub const ABANDONED_AFTER: RangeInclusive<i64> = 1..=30 * 86_400;
/// How long it rests where nothing is set (R12.1).
pub const DEFAULT_ABANDONED_AFTER: i64 = 3_600;
/// After how long an id of the analytics API may be allowed to name another order, in seconds: a day, within which it is
/// the same call, up to ten years (D-ANA-1).
pub const REUSED_AFTER: RangeInclusive<i64> = 86_400..=3_650 * 86_400;
/// More handles can't be blocked: every version carries the list.
pub const MOST_BLOCKED: usize = 500;

/// What is settled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rules {
    /// The currency of totals.
    pub base_currency: Currency,
    /// IANA name of what cuts days.
    pub time_zone: String,
    /// Whose word counts where sources disagree, best first.
    pub source_precedence: Vec<Source>,
    /// The one source that owns an event: the same from another one neither counts nor triggers (R13.4).
    #[serde(deserialize_with = "owners")]
    pub ownership: BTreeMap<EventName, Source>,
    /// Handles that are nobody's, as [`Identifier`] writes them: a delivery that names one is read without it.
    pub blocked_handles: Vec<String>,
    /// A handle with more neighbours than this links nobody.
    pub shared_handle_neighbours: i32,
    /// A cart or checkout without activity for so many seconds counts as abandoned (R12.1).
    pub abandoned_after_s: i64,
    /// Payments that name no order enter the lifetime value (D-R-3). Else they are figures of their own alone.
    #[serde(default)]
    pub include_unlinked_payments: bool,
    /// A purchase of the analytics API that comes so many seconds after the last one with its `transaction_id` is another
    /// order (D-ANA-1); 0: an id names one order for ever.
    #[serde(default)]
    pub reuse_transaction_id_after_s: i64,
}

/// Keys are read as texts: not every format has others.
fn owners<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<EventName, Source>, D::Error> {
    let named = BTreeMap::<String, Source>::deserialize(from)?;
    let unknown = |name: &str| de::Error::custom(format!("'{name}' is no event name that is known here"));
    let owner = |(name, source): (String, Source)| {
        Ok((EventName::parse(&name).ok_or_else(|| unknown(&name))?, source))
    };
    named.into_iter().map(owner).collect()
}

/// One version (`commerce.policies.v1`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// Whose.
    pub workspace: WorkspaceId,
    /// From 1, without gaps.
    pub version: i32,
    /// It holds for what arrives from this instant on, and in no case for what came before its place in the stream.
    /// Version 1 holds from the first delivery on, whatever stands here.
    pub effective_at: EventTime,
    /// When it was published.
    pub published_at: EventTime,
    /// Who published it.
    pub published_by: String,
    /// Why, in their words.
    pub note: Option<String>,
    /// What is settled.
    pub rules: Rules,
}

/// One rule that two versions have otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Its key in the configuration.
    pub key: &'static str,
    /// What it is in the one.
    pub from: String,
    /// What it is in the other.
    pub to: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.key, self.from, self.to)
    }
}

/// A rule that stays what version 1 says, and what to do instead of changing it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fixed {
    /// Facts carry amounts in it, and a replay of the figures begins at the facts.
    #[error("{0}: it can't change, totals of people and of every day are kept in it. {OTHER_WORKSPACE}")]
    BaseCurrency(Difference),
    /// Days are cut by it, by the stages as by the reports.
    #[error("{0}: it can't change, every day that was counted is cut by it. {OTHER_WORKSPACE}")]
    TimeZone(Difference),
}

/// What to do where a rule is fixed.
const OTHER_WORKSPACE: &str = "The way to go is a workspace of another id that has it from its first version on, and the history sent to that one \
     as a backfill. `tillstream replay` doesn't change it: it computes the figures anew under the same policy";

impl Rules {
    /// What differs, in the order of the fields.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        self.written()
            .into_iter()
            .zip(other.written())
            .filter(|(from, to)| from != to)
            .map(|((key, from), (_, to))| Difference { key, from, to })
            .collect()
    }

    /// Every rule by its key in the configuration, as text.
    pub fn written(&self) -> [(&'static str, String); 9] {
        let owners: Vec<String> =
            self.ownership.iter().map(|(event, source)| format!("{event} = {source}")).collect();
        let precedence: Vec<&str> = self.source_precedence.iter().map(|source| source.as_str()).collect();
        let listed = |all: &[String]| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        [
            ("base_currency", self.base_currency.to_string()),
            ("time_zone", self.time_zone.clone()),
            ("source_precedence", precedence.join(", ")),
            ("ownership", listed(&owners)),
            ("blocked_handles", listed(&self.blocked_handles)),
            ("shared_handle_neighbours", self.shared_handle_neighbours.to_string()),
            ("abandoned_after_s", self.abandoned_after_s.to_string()),
            ("include_unlinked_payments", self.include_unlinked_payments.to_string()),
            (
                "reuse_transaction_id_after_s",
                match self.reuse_transaction_id_after_s {
                    0 => "never".to_owned(),
                    seconds => seconds.to_string(),
                },
            ),
        ]
    }

    /// The blocked handles. One that can't be read blocks nothing.
    pub fn blocked(&self) -> impl Iterator<Item = Identifier> {
        self.blocked_handles.iter().filter_map(|handle| Identifier::parse(handle))
    }

    /// What may not change while a workspace lives, and does in `next`.
    pub fn fixed(&self, next: &Self) -> Vec<Fixed> {
        let of = |change: Difference| match change.key {
            "base_currency" => Some(Fixed::BaseCurrency(change)),
            "time_zone" => Some(Fixed::TimeZone(change)),
            _ => None,
        };
        self.differences(next).into_iter().filter_map(of).collect()
    }
}

impl Policy {
    /// The record key.
    pub fn key(&self) -> String {
        format!("{}:{}", self.workspace, self.version)
    }

    /// Checks that it may stand behind `last`, and lists all that speaks against it.
    pub fn after(&self, last: Option<&Self>) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        let expected = last.map_or(1, |last| last.version.saturating_add(1));
        if self.version != expected {
            wrong.push(format!("version {} is published where {expected} is the next one", self.version));
        }
        if let Some(last) = last {
            if self.workspace != last.workspace {
                wrong.push(format!("it is of '{}' and not of '{}'", self.workspace, last.workspace));
            }
            wrong.extend(last.rules.fixed(&self.rules).iter().map(Fixed::to_string));
            let at_once = |change: &Difference| matches!(change.key, "blocked_handles" | "abandoned_after_s");
            if self.effective_at > self.published_at {
                // People are parted, and carts looked at again, where the version stands.
                let changed = last.rules.differences(&self.rules);
                wrong.extend(changed.iter().filter(|change| at_once(change)).map(|change| {
                    format!("effective_at: {change} can't wait, it holds from where the version stands in the stream")
                }));
            }
            if self.effective_at < last.effective_at {
                wrong.push(format!(
                    "effective_at: {} is before version {} begins, at {}",
                    self.effective_at.to_rfc3339(),
                    last.version,
                    last.effective_at.to_rfc3339()
                ));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Where it begins to count: after the deliveries that arrived at this instant. `clock` is the greatest arrival that
    /// was seen of the workspace before the version's place in the stream.
    pub fn in_force_after(&self, clock: ReceivedTime) -> ReceivedTime {
        if self.version == 1 {
            return ReceivedTime(i64::MIN);
        }
        ReceivedTime(self.effective_at.0.saturating_sub(1)).max(clock)
    }

    /// The event that tells the state stage of it.
    pub fn announcement(&self) -> Result<Event, serde_json::Error> {
        let text = serde_json::to_string(self)?;
        let mark = Mark::of(&[b"policy", self.workspace.as_str().as_bytes(), text.as_bytes()]);
        let key = format!("{:032x}", mark.0);
        Ok(Event {
            event_id: mark.to_uuid(),
            event: EventName::PolicyPublished,
            schema_version: SCHEMA_VERSION,
            workspace: self.workspace.clone(),
            environment: "production".to_owned(),
            source: Source::Operator,
            source_space: String::new(),
            source_event: EventName::PolicyPublished.as_str().to_owned(),
            occurred_at: self.published_at,
            received_at: ReceivedTime(self.published_at.0),
            // It has no place in the raw topic; the number tells what comes of one version from what comes of another.
            raw_partition: -1,
            raw_offset: i64::from(self.version),
            raw_item: 0,
            raw_part: 0,
            entity: Entity {
                r#type: "policy".to_owned(),
                id: format!("policy/{}", self.version),
                aliases: vec![],
            },
            person: None,
            payload: Payload {
                properties: BTreeMap::from([(PROPERTY.to_owned(), text)]),
                ..Payload::default()
            },
            keys: Keys { transport: key.clone(), semantic: key, content: None, stated: None },
            flags: vec![],
            origin: Origin::live(),
            trigger_eligible: false,
            qa: false,
            fraud: None,
        })
    }

    /// What an [`Policy::announcement`], or the fact that came of it, says. `None` where it can't be read, or speaks of
    /// another workspace than its own.
    pub fn announced(workspace: &WorkspaceId, properties: &BTreeMap<String, String>) -> Option<Self> {
        let policy: Self = serde_json::from_str(properties.get(PROPERTY)?).ok()?;
        (policy.workspace == *workspace && policy.version > 0).then_some(policy)
    }

    /// The properties of the fact that says where a version begins to count.
    pub fn told(mut properties: BTreeMap<String, String>, from: ReceivedTime) -> BTreeMap<String, String> {
        if from.0 != i64::MIN {
            properties.insert(FROM.to_owned(), format!("\"{}\"", from.to_rfc3339()));
        }
        properties
    }
}

/// The policy that the order join goes by, of some rules.
impl Rules {
    /// What the join needs of them.
    pub fn of_orders(&self, workspace: &WorkspaceId) -> crate::order::Policy {
        crate::order::Policy {
            workspace: workspace.clone(),
            precedence: self.source_precedence.clone(),
            ownership: self.ownership.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            base_currency: Currency::USD,
            time_zone: "UTC".to_owned(),
            source_precedence: vec![Source::Shopify, Source::Lifesight],
            ownership: BTreeMap::from([(EventName::OrderPaid, Source::Customerio)]),
            blocked_handles: vec!["email:test@example.com".to_owned(), "nonsense".to_owned()],
            shared_handle_neighbours: DEFAULT_NEIGHBOURS,
            abandoned_after_s: DEFAULT_ABANDONED_AFTER,
            include_unlinked_payments: false,
            reuse_transaction_id_after_s: 0,
        }
    }

    fn version(version: i32, effective_at: i64, rules: Rules) -> Policy {
        Policy {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            version,
            effective_at: EventTime(effective_at),
            published_at: EventTime(effective_at),
            published_by: "jane".to_owned(),
            note: None,
            rules,
        }
    }

    #[test]
    fn a_version_stands_behind_the_one_before_it_and_nowhere_else() {
        let first = version(1, 10, rules());
        let changed = Rules { abandoned_after_s: 600, ..rules() };
        assert_eq!(first.after(None), Ok(()));
        assert_eq!(version(2, 10, changed.clone()).after(Some(&first)), Ok(()));
        for wrong in [version(1, 10, changed.clone()), version(3, 10, changed.clone())] {
            assert_eq!(wrong.after(Some(&first)).unwrap_err().len(), 1);
        }
        assert!(version(2, 10, changed).after(None).is_err());
    }

    #[test]
    fn everything_that_speaks_against_a_version_is_listed_at_once() {
        let next = Rules {
            base_currency: Currency::parse("EUR").unwrap(),
            time_zone: "Europe/Berlin".into(),
            ..rules()
        };
        let wrong = version(4, 5, next).after(Some(&version(1, 10, rules()))).unwrap_err();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        for (text, key) in
            wrong.iter().zip(["version 4", "base_currency: USD → EUR", "time_zone: UTC → ", "effective_at"])
        {
            assert!(text.starts_with(key), "{text}");
        }
    }

    #[test]
    fn what_days_and_totals_are_cut_by_is_refused_with_what_to_do_instead() {
        let before = rules();
        let eur = Rules { base_currency: Currency::parse("EUR").unwrap(), ..rules() };
        let berlin = Rules { time_zone: "Europe/Berlin".into(), ..rules() };
        let [Fixed::BaseCurrency(change)] = &before.fixed(&eur)[..] else {
            panic!("{:?}", before.fixed(&eur))
        };
        assert_eq!(change.to_string(), "base_currency: USD → EUR");
        let [fixed @ Fixed::TimeZone(_)] = &before.fixed(&berlin)[..] else {
            panic!("{:?}", before.fixed(&berlin))
        };
        let said = fixed.to_string();
        for part in
            ["time_zone: UTC → Europe/Berlin", "a workspace of another id", "backfill", "`tillstream replay`"]
        {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert_eq!(before.fixed(&Rules { abandoned_after_s: 60, ..rules() }), []);
    }

    #[test]
    fn what_is_looked_at_anew_where_a_version_stands_can_not_begin_later() {
        let first = version(1, 10, rules());
        let later = |rules: Rules| Policy { effective_at: EventTime(30), ..version(2, 20, rules) };
        assert_eq!(later(Rules { source_precedence: vec![], ..rules() }).after(Some(&first)), Ok(()));
        let blocked = Rules { blocked_handles: vec!["email:till@shop.example".into()], ..rules() };
        for rules in [blocked, Rules { abandoned_after_s: 600, ..rules() }] {
            assert_eq!(later(rules.clone()).after(Some(&first)).unwrap_err().len(), 1);
            assert_eq!(version(2, 20, rules).after(Some(&first)), Ok(()));
        }
    }

    #[test]
    fn a_difference_names_its_key_and_both_sides() {
        let other = Rules { ownership: BTreeMap::new(), shared_handle_neighbours: 7, ..rules() };
        let found: Vec<String> = rules().differences(&other).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["ownership: order.paid = customerio → none", "shared_handle_neighbours: 100 → 7"]);
        assert_eq!(rules().differences(&rules()), []);
    }

    #[test]
    fn what_is_announced_reads_back_and_of_its_own_workspace_alone() {
        let policy = version(2, 1_700_000_000_000_000, rules());
        let event = policy.announcement().unwrap();
        let read = |workspace: &str, event: &Event| {
            Policy::announced(&WorkspaceId::try_new(workspace).unwrap(), &event.payload.properties)
        };
        assert_eq!(read("demo", &event), Some(policy.clone()));
        assert_eq!(read("other", &event), None);
        let told = Policy::told(event.payload.properties, ReceivedTime(0));
        assert_eq!(Policy::announced(&policy.workspace, &told), Some(policy));
        assert_eq!(told["in_force_after"], "\"1970-01-01T00:00:00Z\"");
        assert_eq!(Policy::announced(&WorkspaceId::try_new("demo").unwrap(), &BTreeMap::new()), None);
    }

    #[test]
    fn the_first_version_holds_from_the_start_and_no_later_one_before_its_place() {
        let at = |version: i32, effective: i64, clock: i64| {
            self::version(version, effective, rules()).in_force_after(ReceivedTime(clock)).0
        };
        assert_eq!(at(1, 500, 900), i64::MIN);
        assert_eq!(at(2, 500, 300), 499, "what arrives at the instant itself falls under it");
        assert_eq!(at(2, 500, 900), 900, "and nothing that came before it in the stream");
    }

    #[test]
    fn handles_that_can_be_read_are_blocked() {
        let blocked: Vec<String> = rules().blocked().map(|handle| handle.to_string()).collect();
        assert_eq!(blocked, ["email:test@example.com"]);
    }
}
