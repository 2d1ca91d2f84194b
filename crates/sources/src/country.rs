//! The country of an address as ISO 3166 alpha-2 (D-ANA-15): its code, else its name.

use crate::order::body::Address;

/// The code of an address: as it is given, else what its country's English name stands for.
pub(crate) fn of(address: &Address<'_>) -> Option<String> {
    let code = address.country_code.text().filter(|code| is_code(code));
    code.map(|code| code.to_ascii_uppercase()).or_else(|| named(&address.country.text()?))
}

fn is_code(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic())
}

/// The code behind a country's name in English, or behind a code in the place of the name. Names come as they are
/// said, as ISO writes them (`Korea, Republic of`), and with another name in brackets.
pub(crate) fn named(text: &str) -> Option<String> {
    if text.len() > LONGEST_NAME {
        return None;
    }
    let turned = || text.split_once(',').and_then(|(last, first)| plain(&format!("{first} {last}")));
    let bare = || text.split_once('(').and_then(|(bare, _)| plain(bare));
    plain(text).or_else(turned).or_else(bare)
}

fn plain(text: &str) -> Option<String> {
    let name = squeezed(text);
    let name = name.strip_prefix("the").unwrap_or(&name);
    if let Some((_, code)) = FURTHER_NAMES.iter().find(|(further, _)| *further == name) {
        return Some((*code).to_owned());
    }
    // The crate knows some countries only with their article.
    let with_article = format!("the{name}");
    let country = match name.len() {
        2 => celes::Country::from_alpha2(name),
        3 => celes::Country::from_alpha3(name),
        _ => celes::Country::from_name(name)
            .or_else(|_| celes::Country::from_name(&with_article))
            .or_else(|_| celes::Country::from_alias(name)),
    };
    country.ok().map(|country| country.alpha2.to_owned())
}

/// The greatest text that is looked up as a name.
const LONGEST_NAME: usize = 100;

/// Letters alone, lower-case and without accents, `&` and `St.` written out: `Côte d’Ivoire` is `cotedivoire`.
fn squeezed(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        match word {
            "&" => name.push_str("and"),
            "St." | "St" => name.push_str("saint"),
            _ => name.extend(word.chars().flat_map(char::to_lowercase).filter_map(letter)),
        }
    }
    name
}

fn letter(c: char) -> Option<char> {
    Some(match c {
        'a'..='z' => c,
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' => 'o',
        'ù'..='ü' => 'u',
        _ => return None,
    })
}

/// Names that shops write and the crate doesn't know, squeezed and without article: those of Unicode's CLDR, which
/// Shopify shows, and usual abbreviations.
const FURTHER_NAMES: [(&str, &str); 24] = [
    ("uk", "GB"),
    ("uae", "AE"),
    ("korea", "KR"),
    ("hongkongsar", "HK"),
    ("hongkongsarchina", "HK"),
    ("macaosar", "MO"),
    ("macausar", "MO"),
    ("macaosarchina", "MO"),
    ("palestinianterritories", "PS"),
    ("congokinshasa", "CD"),
    ("congobrazzaville", "CG"),
    ("congodrc", "CD"),
    ("congorepublic", "CG"),
    ("sintmaarten", "SX"),
    ("caribbeannetherlands", "BQ"),
    ("bonairesinteustatiusandsaba", "BQ"),
    ("heardandmcdonaldislands", "HM"),
    ("pitcairnislands", "PN"),
    ("sainthelenaascensionandtristandacunha", "SH"),
    ("saintvincentandgrenadines", "VC"),
    ("southgeorgiaandsouthsandwichislands", "GS"),
    ("usoutlyingislands", "UM"),
    ("plurinationalstateofbolivia", "BO"),
    ("provinceofchinataiwan", "TW"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_known_by_the_names_that_shops_write() {
        for (name, code) in [
            ("United States", "US"),
            ("united states of america", "US"),
            ("USA", "US"),
            ("UK", "GB"),
            ("United Kingdom", "GB"),
            ("Germany", "DE"),
            ("The Netherlands", "NL"),
            ("Netherlands", "NL"),
            ("South Korea", "KR"),
            ("North Korea", "KP"),
            ("Czech Republic", "CZ"),
            ("Czechia", "CZ"),
            ("Hong Kong SAR", "HK"),
            ("Macao SAR", "MO"),
            ("Côte d’Ivoire", "CI"),
            ("Türkiye", "TR"),
            ("Turkey", "TR"),
            ("Myanmar (Burma)", "MM"),
            ("Bosnia & Herzegovina", "BA"),
            ("Trinidad and Tobago", "TT"),
            ("St. Lucia", "LC"),
            ("Antigua & Barbuda", "AG"),
            ("Congo - Kinshasa", "CD"),
            ("Curaçao", "CW"),
            ("Réunion", "RE"),
            ("Åland Islands", "AX"),
            ("Vatican City", "VA"),
            ("United Arab Emirates", "AE"),
            ("North Macedonia", "MK"),
            ("Russia", "RU"),
            ("Vietnam", "VN"),
            ("Viet Nam", "VN"),
            ("Taiwan", "TW"),
            ("Thailand", "TH"),
            ("Samoa", "WS"),
            ("American Samoa", "AS"),
            ("St. Martin", "MF"),
            ("Singapore", "SG"),
            ("Philippines", "PH"),
            ("Bahamas", "BS"),
            ("Dominican Republic", "DO"),
            ("Dominica", "DM"),
            ("Niger", "NE"),
            ("Nigeria", "NG"),
            ("Guinea-Bissau", "GW"),
            ("Timor-Leste", "TL"),
            ("British Virgin Islands", "VG"),
            ("U.S. Virgin Islands", "VI"),
            ("de", "DE"),
            ("SGP", "SG"),
            ("Bolivia, Plurinational State of", "BO"),
            ("Taiwan, Province of China", "TW"),
            ("Korea, Republic of", "KR"),
            ("Congo, The Democratic Republic of the", "CD"),
            ("Virgin Islands, British", "VG"),
            ("Saint Martin (French part)", "MF"),
            ("Sint Maarten (Dutch part)", "SX"),
            ("St. Vincent & Grenadines", "VC"),
        ] {
            assert_eq!(named(name).as_deref(), Some(code), "{name}");
        }
    }

    #[test]
    fn what_is_no_country_is_none() {
        for name in [
            "",
            "the",
            "Atlantis",
            "12",
            "日本",
            "XZ",
            "ZZZ",
            ",",
            "(",
            "Atlantis, Republic of",
            &"a".repeat(500),
        ] {
            assert_eq!(named(name), None, "{name}");
        }
    }
}
