//! The fields that are read of an order body. Everything else stays in the raw topic.

use crate::json::{List, Maybe, Scalar, object};

object! {
    /// An order. Checkouts and customers share the names that their validation needs.
    Order<'a> {
        id: Scalar<'a>,
        admin_graphql_api_id: Scalar<'a>,
        cancelled_at: Scalar<'a>,
        cart_token: Scalar<'a>,
        checkout_id: Scalar<'a>,
        checkout_token: Scalar<'a>,
        contact_email: Scalar<'a>,
        created_at: Scalar<'a>,
        currency: Scalar<'a>,
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

    /// A postal address.
    Address<'a> {
        city: Scalar<'a>,
        zip: Scalar<'a>,
        province: Scalar<'a>,
        country: Scalar<'a>,
        country_code: Scalar<'a>,
    }

    /// The customer inside an order.
    Customer<'a> {
        id: Scalar<'a>,
        email: Scalar<'a>,
        phone: Scalar<'a>,
        first_name: Scalar<'a>,
        last_name: Scalar<'a>,
        currency: Scalar<'a>,
        orders_count: Scalar<'a>,
        total_spent: Scalar<'a>,
        default_address: Maybe<Address<'a>>,
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
