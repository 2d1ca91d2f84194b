//! What was taken off and why: codes, applications, and the lines' shares of them.

use commerce::Currency;
use commerce::event::{Allocation, Discount};
use commerce::reason::Failure;

use super::body::{DiscountAllocation, Order};
use crate::json::{List, Scalar};
use crate::read::{self, Reader};

/// The words that the contract knows; others are kept as they are and flagged.
const OF_A_CODE: [&str; 3] = ["fixed_amount", "percentage", "shipping"];
const OF_AN_APPLICATION: [&str; 4] = ["automatic", "discount_code", "manual", "script"];
const VALUE_TYPES: [&str; 2] = ["fixed_amount", "percentage"];
const SELECTIONS: [&str; 3] = ["all", "entitled", "explicit"];
const TARGETS: [&str; 2] = ["line_item", "shipping_line"];

/// Reads the codes, then the applications, each in the order of the body.
pub(crate) fn of_order(
    reader: &mut Reader,
    order: &Order<'_>,
    currency: Currency,
) -> Result<Vec<Discount>, Failure> {
    let mut found = Vec::new();
    for (index, code) in order.discount_codes.objects() {
        let path = format_args!("discount_codes[{index}].amount");
        let discount = Discount {
            // Money whatever the type says: it is what was taken off (D-LIFE-3).
            amount: reader.money(code.amount, currency, path)?,
            title: code.code.owned(),
            r#type: word(reader, code.kind, &OF_A_CODE, format_args!("discount_codes[{index}].type")),
            price_rule_id: read::loose_id(code.price_rule_id),
            ..empty("code")
        };
        keep(&mut found, discount);
    }
    for (index, application) in order.discount_applications.objects() {
        let mut known = |value, words, field: &str| {
            word(reader, value, words, format_args!("discount_applications[{index}].{field}"))
        };
        let r#type = known(application.kind, &OF_AN_APPLICATION, "type");
        let value_type = known(application.value_type, &VALUE_TYPES, "value_type");
        let target_selection = known(application.target_selection, &SELECTIONS, "target_selection");
        let target_type = known(application.target_type, &TARGETS, "target_type");
        let path = format_args!("discount_applications[{index}].total_allocated_amount");
        let discount = Discount {
            title: [application.title, application.code, application.description]
                .into_iter()
                .find_map(Scalar::owned),
            // Major units, whatever the seed's table says (D-LIFE-2).
            amount: reader.money(application.total_allocated_amount, currency, path)?,
            r#type,
            value: application.value.owned(),
            value_type,
            target_selection,
            target_type,
            ..empty("application")
        };
        keep(&mut found, discount);
    }
    Ok(found)
}

/// Reads a line's shares. A share without an amount says nothing.
pub(crate) fn of_line(
    reader: &mut Reader,
    shares: &List<DiscountAllocation<'_>>,
    currency: Currency,
    line: usize,
) -> Result<Vec<Allocation>, Failure> {
    let mut found = Vec::new();
    for (index, share) in shares.objects() {
        let path = format_args!("line_items[{line}].discount_allocations[{index}].amount");
        if let Some(amount) = reader.money(share.amount, currency, path)? {
            let application = share.discount_application.owned();
            let application = application.or_else(|| share.discount_application_index.owned());
            found.push(Allocation { amount, application });
        }
    }
    Ok(found)
}

fn empty(kind: &str) -> Discount {
    Discount {
        kind: kind.to_owned(),
        title: None,
        amount: None,
        r#type: None,
        value: None,
        value_type: None,
        target_selection: None,
        target_type: None,
        price_rule_id: None,
    }
}

fn keep(found: &mut Vec<Discount>, discount: Discount) {
    if discount != empty(&discount.kind) {
        found.push(discount);
    }
}

fn word(
    reader: &mut Reader,
    value: Scalar<'_>,
    known: &[&str],
    path: std::fmt::Arguments<'_>,
) -> Option<String> {
    let text = value.text()?;
    match known.iter().find(|word| word.eq_ignore_ascii_case(&text)) {
        Some(word) => Some((*word).to_owned()),
        None => {
            reader.flag(&format!("unknown_value:{path}={}", super::observe::shorten(&text)));
            Some(text.into_owned())
        }
    }
}
