//! `GET /v1/people/{id}`: one person with their rollups.

use commerce::person::{self, Kind};
use commerce::{PersonId, Profile};
use serde_json::Value;

use crate::store::{Kept, Store};

impl Kept for Profile {
    fn ids(&self, each: &mut dyn FnMut(&str)) {
        each(&self.person_id.to_string());
        for identifier in &self.contact.identifiers {
            each(&identifier.value);
        }
        // Usually identifiers as well; what isn't one (a masked e-mail) finds the person all the same.
        for contact in [&self.contact.email, &self.contact.phone].into_iter().flatten() {
            if !self.contact.identifiers.iter().any(|identifier| identifier.value == *contact) {
                each(contact);
            }
        }
    }
}

/// How many forwarding records are followed. Merges of merges are flattened by the state stage; this is a stop.
const FORWARDS: usize = 8;

/// The person with an id: a person id (also a former one), any identifier, an e-mail in any case. Where several have
/// it, the one whose identifier stands highest (`user` before `email` before a customer id …), then the smallest id.
pub fn find(people: &Store<Profile>, workspace: &str, id: &str) -> Option<Profile> {
    let id = id.trim();
    let mut found = best(people.find(workspace, id), id).or_else(|| {
        let email = person::email(id)?;
        best(people.find(workspace, &email), &email)
    })?;
    for _ in 0..FORWARDS {
        let Some(next) = found.merged_into else { break };
        found = people.find(workspace, &next.to_string()).into_iter().find(|p| p.person_id == next)?;
    }
    Some(found)
}

fn best(candidates: Vec<Profile>, id: &str) -> Option<Profile> {
    let rank = |profile: &Profile| -> (bool, Option<Kind>, PersonId) {
        let kind = profile.contact.identifiers.iter().filter(|i| i.value == id).map(|i| i.kind).min();
        let own = PersonId::parse(id) == Some(profile.person_id);
        // `None` sorts first: a person without the identifier comes last unless the id is their own.
        (!own && kind.is_none(), kind, profile.person_id)
    };
    candidates.into_iter().min_by_key(rank)
}

/// The person as JSON: the names of the topic, times in RFC 3339, money as `{minor, currency}`.
pub fn json(profile: &Profile) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(profile)?;
    let times =
        ["first_order_at", "last_order_at", "last_payment_at", "payment_failed_at", "created_at", "as_of"];
    crate::orders::times(&mut value, &times);
    let since = value.get_mut("audiences_since").and_then(Value::as_object_mut);
    since.into_iter().flatten().for_each(|(_, at)| crate::orders::time(at));
    Ok(value)
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use commerce::person::Identifier;
    use commerce::profile::{Contact, Known};
    use commerce::{Currency, ReceivedTime, WorkspaceId};

    /// A person of the workspace `demo`.
    pub(crate) fn profile(number: u128, identifiers: &[(Kind, &str)]) -> Profile {
        let identifiers: Vec<_> =
            identifiers.iter().map(|(kind, value)| Identifier::plain(*kind, *value)).collect();
        let email = identifiers.iter().find(|i| i.kind == Kind::Email).map(|i| i.value.clone());
        Profile::new(
            WorkspaceId::try_new("demo").unwrap(),
            PersonId(number),
            Known { contact: Contact { identifiers, email, ..Contact::default() }, ..Known::default() },
            Currency::USD,
            ReceivedTime(1_000_000),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::samples::profile;
    use super::*;

    fn people(profiles: &[Profile]) -> Store<Profile> {
        let store = Store::default();
        for profile in profiles {
            let key = format!("demo:{}", profile.person_id);
            store.put(key.as_bytes(), "demo", Some(profile)).unwrap();
        }
        store
    }

    #[test]
    fn every_identifier_finds_the_person() {
        let store = people(&[profile(7, &[(Kind::User, "user_1"), (Kind::Email, "jane@example.com")])]);
        for id in ["user_1", "jane@example.com", " Jane@Example.COM ", &PersonId(7).to_string()] {
            assert_eq!(find(&store, "demo", id).unwrap().person_id, PersonId(7), "{id}");
        }
        assert_eq!(find(&store, "demo", "user_2"), None);
        assert_eq!(find(&store, "other", "user_1"), None);
    }

    #[test]
    fn a_former_id_leads_to_the_person_of_today() {
        let mut former = profile(1, &[]);
        former.merged_into = Some(PersonId(2));
        let store = people(&[former, profile(2, &[(Kind::User, "u")])]);
        assert_eq!(find(&store, "demo", &PersonId(1).to_string()).unwrap().person_id, PersonId(2));
    }

    #[test]
    fn forwards_in_a_circle_end() {
        let (mut a, mut b) = (profile(1, &[]), profile(2, &[]));
        a.merged_into = Some(PersonId(2));
        b.merged_into = Some(PersonId(1));
        assert!(find(&people(&[a, b]), "demo", &PersonId(1).to_string()).is_some());
    }

    #[test]
    fn where_several_share_an_id_the_higher_kind_wins() {
        let store = people(&[
            profile(1, &[(Kind::Cart, "42")]),
            profile(2, &[(Kind::User, "42")]),
            profile(3, &[(Kind::Anonymous, "42")]),
        ]);
        assert_eq!(find(&store, "demo", "42").unwrap().person_id, PersonId(2));
    }

    #[test]
    fn times_are_texts() {
        let mut jane = profile(7, &[(Kind::Email, "jane@example.com")]);
        jane.audiences_since.insert("lapsed_90d".to_owned(), commerce::EventTime(2_000_000));
        let json = json(&jane).unwrap();
        assert_eq!(json["as_of"], "1970-01-01T00:00:01Z");
        assert_eq!(json["audiences_since"]["lapsed_90d"], "1970-01-01T00:00:02Z");
        assert_eq!(json["first_order_at"], Value::Null);
        assert_eq!(json["total_spent"]["currency"], "USD");
        assert_eq!(json["contact"]["identifiers"][0]["kind"], "email");
    }
}
