//! Disagreements between the sources of an order, published once per change of them.

use commerce::Event;
use commerce::order::{Disagreement, View};
use commerce::reconciliation::Reconciliation;
use service::stage::encode_error;
use stream::{Context, Failure};
use topics::Topic;

use crate::RECONCILIATION;
use crate::outcomes;
use crate::processor::{StateStage, published};

impl StateStage {
    /// Says in what the sources of an order begin to disagree, or cease to. The figure counts what is open of orders that
    /// count; `was_qa`: it was known as a test before.
    pub(crate) fn reconcile(
        &mut self,
        event: &Event,
        (view, was_qa): (&View, bool),
        before: &[Disagreement],
        after: &[Disagreement],
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if before == after && was_qa == view.qa {
            return Ok(());
        }
        for record in Reconciliation::between(event, (&view.id, view.qa), before, after) {
            self.value.clear();
            self.reconciliation.encode(&record, &mut self.value).map_err(|e| encode_error(&e))?;
            let key = record.key().into_bytes();
            let emitted = ctx.emit(RECONCILIATION, Some(ctx.partition()), &key, Some(&self.value));
            published(emitted, Topic::Reconciliation, &key)?;
        }
        let before = if was_qa { &[] } else { before };
        let after = if view.qa { &[] } else { after };
        let is_in =
            |all: &[Disagreement], found: &Disagreement| all.iter().any(|other| other.is_same_as(found));
        for gone in before.iter().filter(|found| !is_in(after, found)) {
            outcomes::disagree(ctx, event, gone, -1, &mut self.stored)?;
        }
        for new in after.iter().filter(|found| !is_in(before, found)) {
            outcomes::disagree(ctx, event, new, 1, &mut self.stored)?;
        }
        Ok(())
    }
}
