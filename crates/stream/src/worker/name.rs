//! Whose our name is.
//!
//! To librdkafka a fenced group instance is fatal for good. Mostly it means that another copy has our name, but a lone
//! copy can come to it as well, because the broker knows a name by the member id that it gave out last. All copies of a
//! stage were seen to end that way after the restart of a lone broker under load. What may lead there:
//!
//! - A broker that restarts goes back to the member ids that it had written down. A membership that it had given out, but
//!   not written down yet, is refused, since the name belongs to the one before.
//! - A member that the broker has forgotten joins as a new one. What it had sent under its old id, and a join of its own
//!   that its next one has overtaken, are refused.
//!
//! So the group is asked. A living copy keeps its membership, while one that nobody is, be it ours or a dead
//! predecessor's, ends with its session. (Client ids tell nothing: a broker keeps the first one of a name.) If our name
//! stays a member for longer than that, this copy ends with a message. If it goes, or is under the member id that we
//! know as ours, we go on with a new consumer, as after a start: the open transaction is aborted, and all state is read
//! back.
//!
//! Of two copies that do have one name, one ends and never both: the one that joins last fences the other, and only who
//! is fenced asks. It goes on only when the other is gone from the group. If that one was merely away, it is fenced when
//! it comes back, asks in its turn, finds us and ends.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupMemberInfo;

use super::owners::Owners;
use super::{Worker, group};
use crate::Error;
use crate::patience::CALL;

/// Between two questions. Longer than between two heartbeats: another copy that is about to join is seen by the next one.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Answers in a row that nobody else has the name, until it is believed.
const ENOUGH: u32 = 2;

/// Who has a name in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    /// The membership under which our tasks were assigned.
    Ourselves,
    /// Another copy, or a membership that nobody is.
    Other,
}

/// Who has the name, by the ids of the members: the name, a hyphen and a UUID, in digits or in Base64.
fn holder<'m>(mut ids: impl Iterator<Item = &'m str>, name: &str, ours: Option<&str>) -> Holder {
    let has_name = |id: &&str| {
        let uuid = id.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        uuid.is_some_and(|uuid| [36, 22].contains(&uuid.len()))
    };
    match ids.find(has_name) {
        None => Holder::Nobody,
        Some(id) if Some(id) == ours => Holder::Ourselves,
        Some(_) => Holder::Other,
    }
}

impl Worker<'_> {
    /// Goes on after an error if it is that the group has fenced us although nobody else has our name.
    pub(super) fn survive(&mut self, error: Error) -> Result<(), Error> {
        let fenced = self.consumer.client().fatal_error();
        let is_fenced = matches!(fenced, Some((RDKafkaErrorCode::FencedInstanceId, _)));
        if !is_fenced || !matches!(error, Error::Fenced { .. } | Error::Kafka { .. }) {
            return Err(error);
        }
        tracing::warn!(
            slot = self.slot,
            "the group has fenced us, asking whether somebody else has our name"
        );
        self.let_go()?;
        if self.is_name_taken()? {
            return Err(self.fatal().unwrap_or(error));
        }
        tracing::warn!(slot = self.slot, "nobody else has our name: going on with a new consumer");
        self.begin_anew()
    }

    /// Nothing that we hold may be committed any more, and others wait behind an open transaction.
    fn let_go(&mut self) -> Result<(), Error> {
        self.tasks.clear();
        if self.transaction.is_some()
            && let Err(error) = self.producer.abort()
        {
            tracing::warn!(error = error.message, "aborting; the broker will, after its time-out");
        }
        self.rewind()?;
        self.observer.tasks(self.slot, &[]);
        Ok(())
    }

    /// Asks until the answer is certain, however long nobody answers.
    fn is_name_taken(&self) -> Result<bool, Error> {
        let what = format!("see who is {} in the group", self.stage.slot_id(self.slot));
        let (mut free, mut taken_since) = (0, None);
        loop {
            let found = self.patience().insist(&what, || {
                // A broker that was away counts the sessions of its members from the beginning.
                self.holder().inspect_err(|_| (free, taken_since) = (0, None))
            })?;
            if found == Holder::Other {
                free = 0;
                let since = *taken_since.get_or_insert_with(Instant::now);
                // A session for the dead member, and one more because a rebalance begins it anew.
                if since.elapsed() > 2 * self.stage.session_timeout {
                    return Ok(true);
                }
            } else {
                taken_since = None;
                free += 1;
                if free == ENOUGH {
                    return Ok(false);
                }
            }
            self.observer.waiting(self.slot, &what);
            self.patience().sleep(PAUSE)?;
        }
    }

    fn holder(&self) -> Result<Holder, KafkaError> {
        let groups = self.consumer.fetch_group_list(Some(&self.stage.name), CALL)?;
        let Some(group) = groups.groups().iter().find(|group| group.name() == self.stage.name) else {
            return Ok(Holder::Nobody);
        };
        if group.state().is_empty() {
            // The broker doesn't know yet.
            return Err(KafkaError::GroupListFetch(RDKafkaErrorCode::CoordinatorLoadInProgress));
        }
        let ids = group.members().iter().map(GroupMemberInfo::id);
        Ok(holder(ids, &self.stage.slot_id(self.slot), self.member.as_deref()))
    }

    /// As at a start: first the transactions, then the group.
    fn begin_anew(&mut self) -> Result<(), Error> {
        // Nobody carries out what the old one still wants.
        self.rebalances.close();
        (self.consumer, self.rebalances) = group::consumer(self.stage, self.slot)?;
        self.member = None;
        self.owners = Owners::unknown();
        self.recycle("self-fenced")?;
        self.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0d0b1b2c-0000-4000-8000-1234567890ab";
    const BASE64: &str = "gFq-RTpJS_W9PJdlfbWeaA";

    #[test]
    fn a_name_is_somebody_elses_unless_the_member_is_known() {
        for uuid in [DIGITS, BASE64] {
            let id = format!("state-a-1-{uuid}");
            let held = |ours| holder([id.as_str()].into_iter(), "state-a-1", ours);
            assert_eq!(held(Some(&id)), Holder::Ourselves);
            assert_eq!(held(Some("state-a-1-before")), Holder::Other);
            assert_eq!(held(None), Holder::Other);
        }
        assert_eq!(holder([].into_iter(), "state-a-1", None), Holder::Nobody);
    }

    #[test]
    fn other_names_are_other_names_even_if_they_begin_or_end_like_ours() {
        for name in ["state-a-11", "state-a-1-2", "state-a", "x-state-a-1"] {
            for uuid in [DIGITS, BASE64] {
                let id = format!("{name}-{uuid}");
                assert_eq!(holder([id.as_str()].into_iter(), "state-a-1", None), Holder::Nobody, "{id}");
            }
        }
    }
}
