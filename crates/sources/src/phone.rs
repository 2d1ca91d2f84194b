//! Phone numbers to E.164 (R7.3).

use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;

/// Normalises a number: as it is when it has its country code, else with the first of `regions` in which it can be a
/// number. `None`: it stays a text.
pub(crate) fn e164(text: &str, regions: impl Iterator<Item = String>) -> Option<String> {
    let mut digits = String::with_capacity(16);
    for c in text.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '+' if digits.is_empty() => digits.push(c),
            ' ' | '-' | '.' | '(' | ')' | '\u{a0}' => {}
            _ => return None,
        }
    }
    let international = digits.strip_prefix('+').or_else(|| digits.strip_prefix("00"));
    if let Some(number) = international {
        let fine = (7..=15).contains(&number.len()) && !number.starts_with('0') && !number.contains('+');
        return fine.then(|| format!("+{number}"));
    }
    if !(4..=15).contains(&digits.len()) {
        return None;
    }
    for region in regions {
        if let Some(number) = region.parse().ok().and_then(|region| national(&digits, region)) {
            return Some(number);
        }
    }
    None
}

/// A number that has the form of the region's numbers. It need not be assigned: whether it is changes by the month.
fn national(digits: &str, region: Id) -> Option<String> {
    let number = phonenumber::parse(Some(region), digits).ok()?;
    let national = number.national().to_string();
    let metadata = DATABASE.by_id(region.as_ref())?;
    let fits = metadata.descriptors().general().is_match(&national);
    let fits = fits && number.code().value() == metadata.country_code();
    fits.then(|| format!("+{}{national}", number.code().value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, regions: &[&str]) -> Option<String> {
        e164(text, regions.iter().map(|region| (*region).to_owned()))
    }

    #[test]
    fn a_number_with_its_country_code_needs_no_country() {
        for text in ["+1 (202) 555-0100", "0012025550100", "+1.202.555.0100"] {
            assert_eq!(read(text, &[]).as_deref(), Some("+12025550100"), "{text}");
        }
    }

    #[test]
    fn a_national_number_takes_the_first_country_that_fits() {
        assert_eq!(read("2025550100", &["US"]).as_deref(), Some("+12025550100"));
        assert_eq!(read("12025550100", &["US"]).as_deref(), Some("+12025550100"));
        assert_eq!(read("030 123456", &["DE"]).as_deref(), Some("+4930123456"));
        assert_eq!(read("020 7946 0000", &["XX", "GB"]).as_deref(), Some("+442079460000"));
        assert_eq!(read("5551234567", &["US"]).as_deref(), Some("+15551234567"));
    }

    #[test]
    fn what_is_no_number_stays_a_text() {
        for text in ["", "+", "12", "call me", "555-0100 ext 7", "+0123456789", "++1202555010", "1+202555010"]
        {
            assert_eq!(read(text, &["US"]), None, "{text}");
        }
        assert_eq!(read("2025550100", &[]), None);
        assert_eq!(read("12345", &["US"]), None);
    }
}
