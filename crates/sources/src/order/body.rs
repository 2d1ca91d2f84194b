//! The fields that are read of an order body. Everything else stays in the raw topic.

use crate::json::{List, Maybe, Scalar, object};

object! {
    /// An order. Checkouts and customers share the names that their validation needs.
    Order<'a> {
        id: Scalar<'a>,
        admin_graphql_api_id: Scalar<'a>,
        buyer_accepts_marketing: Scalar<'a>,
        cancelled_at: Scalar<'a>,
        cart_token: Scalar<'a>,
        checkout_id: Scalar<'a>,
        checkout_token: Scalar<'a>,
        contact_email: Scalar<'a>,
        created_at: Scalar<'a>,
        currency: Scalar<'a>,
        discount_applications: List<DiscountApplication<'a>>,
        discount_codes: List<DiscountCode<'a>>,
        email: Scalar<'a>,
        financial_status: Scalar<'a>,
        fulfillment_status: Scalar<'a>,
        landing_site: Scalar<'a>,
        name: Scalar<'a>,
        note_attributes: List<NoteAttribute<'a>>,
        order_number: Scalar<'a>,
        phone: Scalar<'a>,
        processed_at: Scalar<'a>,
        referring_site: Scalar<'a>,
        subtotal_price: Scalar<'a>,
        tags: Scalar<'a>,
        test: Scalar<'a>,
        token: Scalar<'a>,
        total_discounts: Scalar<'a>,
        total_price: Scalar<'a>,
        total_shipping_price_set: Maybe<MoneySet<'a>>,
        total_tax: Scalar<'a>,
        updated_at: Scalar<'a>,
        billing_address: Maybe<Address<'a>>,
        customer: Maybe<Customer<'a>>,
        line_items: List<Line<'a>>,
        refunds: List<Refund<'a>>,
        shipping_address: Maybe<Address<'a>>,
    }

    /// A line.
    Line<'a> {
        discount_allocations: List<DiscountAllocation<'a>>,
        price: Scalar<'a>,
        product_id: Scalar<'a>,
        quantity: Scalar<'a>,
        sku: Scalar<'a>,
        title: Scalar<'a>,
        total_discount: Scalar<'a>,
        variant_id: Scalar<'a>,
        variant_title: Scalar<'a>,
        vendor: Scalar<'a>,
    }

    /// A coupon.
    DiscountCode<'a> {
        code: Scalar<'a>,
        amount: Scalar<'a>,
        kind: Scalar<'a> = "type",
        price_rule_id: Scalar<'a>,
    }

    /// A discount, by coupon or otherwise. Shopify names one that has no title by its code or description.
    DiscountApplication<'a> {
        title: Scalar<'a>,
        code: Scalar<'a>,
        description: Scalar<'a>,
        kind: Scalar<'a> = "type",
        value: Scalar<'a>,
        value_type: Scalar<'a>,
        target_selection: Scalar<'a>,
        target_type: Scalar<'a>,
        total_allocated_amount: Scalar<'a>,
    }

    /// A line's share of a discount, which is named by its title or by its place among the applications.
    DiscountAllocation<'a> {
        amount: Scalar<'a>,
        discount_application: Scalar<'a>,
        discount_application_index: Scalar<'a>,
    }

    /// A remark of the shop's theme or apps.
    NoteAttribute<'a> {
        name: Scalar<'a>,
        value: Scalar<'a>,
    }

    /// An amount in two currencies.
    MoneySet<'a> {
        shop_money: Maybe<Amount<'a>>,
    }

    /// An amount.
    Amount<'a> {
        amount: Scalar<'a>,
    }

    /// A postal address; `default` is the customer's word among several.
    Address<'a> {
        city: Scalar<'a>,
        zip: Scalar<'a>,
        province: Scalar<'a>,
        country: Scalar<'a>,
        country_code: Scalar<'a>,
        default: Scalar<'a>,
    }

    /// A customer, inside an order or checkout or as a body of its own.
    Customer<'a> {
        id: Scalar<'a>,
        admin_graphql_api_id: Scalar<'a>,
        email: Scalar<'a>,
        phone: Scalar<'a>,
        first_name: Scalar<'a>,
        last_name: Scalar<'a>,
        currency: Scalar<'a>,
        orders_count: Scalar<'a>,
        total_spent: Scalar<'a>,
        tags: Scalar<'a>,
        created_at: Scalar<'a>,
        updated_at: Scalar<'a>,
        accepts_marketing: Scalar<'a>,
        accepts_marketing_updated_at: Scalar<'a>,
        marketing_opt_in_level: Scalar<'a>,
        email_marketing_consent: Maybe<MarketingConsent<'a>>,
        sms_marketing_consent: Maybe<MarketingConsent<'a>>,
        default_address: Maybe<Address<'a>>,
        addresses: List<Address<'a>>,
    }

    /// What a customer agreed to on one channel.
    MarketingConsent<'a> {
        state: Scalar<'a>,
        opt_in_level: Scalar<'a>,
        consent_updated_at: Scalar<'a>,
    }

    /// A refund, inside an order or as a body of its own.
    Refund<'a> {
        id: Scalar<'a>,
        order_id: Scalar<'a>,
        created_at: Scalar<'a>,
        processed_at: Scalar<'a>,
        transactions: List<Transaction<'a>>,
    }

    /// A movement of money.
    Transaction<'a> {
        id: Scalar<'a>,
        amount: Scalar<'a>,
        kind: Scalar<'a>,
        status: Scalar<'a>,
        currency: Scalar<'a>,
    }
}
