//! Disagreements between the sources of an order, published once per change of them (contracts R4.5).

use commerce::Event;
use commerce::order::{Disagreement, View};
use commerce::reconciliation::{Reconciliation, Standing};
use service::stage::encode_error;
use stream::{Context, Failure};
use topics::Topic;

use crate::RECONCILIATION;
use crate::outcomes;
use crate::processor::{StateStage, published};

impl StateStage {
    /// Says in what the sources of an order begin to disagree, or cease to.
    pub(crate) fn reconcile(
        &mut self,
        event: &Event,
        view: &View,
        before: &[Disagreement],
        after: &[Disagreement],
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if before == after {
            return Ok(());
        }
        for record in Reconciliation::between(event, (&view.id, view.qa), before, after) {
            self.value.clear();
            self.reconciliation.encode(&record, &mut self.value).map_err(|e| encode_error(&e))?;
            let key = record.key().into_bytes();
            let emitted = ctx.emit(RECONCILIATION, Some(ctx.partition()), &key, Some(&self.value));
            published(emitted, Topic::Reconciliation, &key)?;
            let change = match record.standing {
                Standing::Resolved => -1,
                Standing::Open if before.iter().any(|known| record.is_of(known)) => continue,
                Standing::Open => 1,
            };
            outcomes::disagree(ctx, &record, change, &mut self.stored)?;
        }
        Ok(())
    }
}
