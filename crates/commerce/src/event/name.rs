//! The canonical vocabulary.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::words;

words! {
    /// The canonical vocabulary. One name per business fact, whatever the source calls it.
    EventName {
        /// The shopper has submitted an order. Says nothing about payment. Once per order.
        OrderPlaced = "order.placed",
        /// Any other change of an order. One per order version.
        OrderUpdated = "order.updated",
        /// The order is fully paid. Once per order, at the first evidence of full payment.
        OrderPaid = "order.paid",
        /// At least one item, not all, has been handed over for delivery.
        OrderPartiallyFulfilled = "order.partially_fulfilled",
        /// All items have been handed over. Once per order.
        OrderFulfilled = "order.fulfilled",
        /// The order has been called off. Once per order.
        OrderCancelled = "order.cancelled",
        /// Money went back for an order. One per refund.
        OrderRefunded = "order.refunded",
        /// A checkout exists with at least one line or a value. Once per checkout.
        CheckoutStarted = "checkout.started",
        /// Any later change of a checkout.
        CheckoutUpdated = "checkout.updated",
        /// A payment method was entered.
        CheckoutPaymentInfoAdded = "checkout.payment_info_added",
        /// A cart came into being.
        CartCreated = "cart.created",
        /// The cart page was looked at.
        CartViewed = "cart.viewed",
        /// An item entered a cart.
        CartItemAdded = "cart.item_added",
        /// An item left a cart.
        CartItemRemoved = "cart.item_removed",
        /// An item was put on a wishlist.
        WishlistItemAdded = "wishlist.item_added",
        /// A product was looked at.
        ProductViewed = "product.viewed",
        /// A product was shared.
        ProductShared = "product.shared",
        /// A product was rated.
        ProductRated = "product.rated",
        /// A person asked to be told when a product is available again.
        BackInStockRequested = "product.back_in_stock_requested",
        /// A product search was run.
        SearchPerformed = "search.performed",
        /// Loyalty credits were redeemed. Not revenue.
        CreditsSpent = "credits.spent",
        /// A payment provider collected money. Not an order.
        PaymentSucceeded = "payment.succeeded",
        /// A collection attempt failed.
        PaymentFailed = "payment.failed",
        /// A payment provider returned money.
        PaymentRefunded = "payment.refunded",
        /// A recurring order or plan renewed.
        SubscriptionRenewed = "subscription.renewed",
        /// A recurring order or plan was skipped once.
        SubscriptionSkipped = "subscription.skipped",
        /// A recurring order or plan was paused.
        SubscriptionPaused = "subscription.paused",
        /// A recurring order or plan was ended.
        SubscriptionCancelled = "subscription.cancelled",
        /// The source asserts that it created this customer.
        CustomerCreated = "customer.created",
        /// Attributes, consent or reported totals of a person changed.
        CustomerUpdated = "customer.updated",
        /// Two identities were found to be one person.
        CustomerMerged = "customer.merged",
        /// Handles left one person for another: they were told apart, or an earlier sighting came to light.
        CustomerSeparated = "customer.separated",
        /// Erasure of a person was requested.
        CustomerDeleted = "customer.deleted",
        /// The identifier is barred from processing.
        CustomerSuppressed = "customer.suppressed",
        /// The identifier is readmitted to processing.
        CustomerUnsuppressed = "customer.unsuppressed",
        /// An accepted event whose name is not mapped; the name is in `source_event`. Never triggers a money rule.
        CustomTracked = "custom.tracked",
        /// Rates of exchange of an hour are known, of which no tenant is the subject: once per task, in the name of
        /// the workspace `_fx`. No fact.
        FxRatesPublished = "fx.rates_published",
        /// A version of the workspace's policy: what follows is counted by it. Its fact says where it begins to count.
        PolicyPublished = "policy.published",
        /// Nothing came of a workspace, and something of it is due: time has passed. Written by the state stage for
        /// itself. No fact.
        TimePassed = "time.passed",
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EventName {
    /// True where each item of an event is a fact of its own.
    pub const fn names_an_item(self) -> bool {
        matches!(
            self,
            Self::ProductViewed | Self::CartItemAdded | Self::CartItemRemoved | Self::WishlistItemAdded
        )
    }

    /// True for events that the order join is made of.
    pub const fn is_order(self) -> bool {
        matches!(
            self,
            Self::OrderPlaced
                | Self::OrderUpdated
                | Self::OrderPaid
                | Self::OrderPartiallyFulfilled
                | Self::OrderFulfilled
                | Self::OrderCancelled
                | Self::OrderRefunded
        )
    }
}
