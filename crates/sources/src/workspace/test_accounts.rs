//! Who is staff or a test.

use std::collections::HashSet;

use commerce::person;

/// Addresses, domains and ids of staff and tests (R13.3).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TestAccounts {
    addresses: HashSet<String>,
    domains: HashSet<String>,
    users: HashSet<String>,
}

impl TestAccounts {
    pub(super) fn read(texts: &[String], wrong: &mut impl FnMut(&str, String)) -> Self {
        let mut accounts = Self::default();
        for (index, text) in texts.iter().enumerate() {
            if let Some(user) = text.trim().strip_prefix("user:").filter(|user| !user.is_empty()) {
                accounts.users.insert(user.to_owned());
                continue;
            }
            let lower = text.trim().to_lowercase();
            if let Some(address) = person::email(&lower) {
                accounts.addresses.insert(address);
                continue;
            }
            let domain = lower.strip_prefix('@').unwrap_or(&lower);
            if domain.contains('.') && !domain.contains(|c: char| c == '@' || c.is_whitespace()) {
                accounts.domains.insert(domain.to_owned());
            } else {
                wrong(
                    &format!("test_accounts[{index}]"),
                    format!("'{text}' is neither an address, nor a domain, nor 'user:' and an id"),
                );
            }
        }
        accounts
    }

    /// Whether one of them may stand in a request: false is certain, true is not.
    pub(crate) fn may_be_named(&self, path: &[u8], body: &[u8]) -> bool {
        if self.addresses.is_empty() && self.domains.is_empty() && self.users.is_empty() {
            return false;
        }
        // In a path they may be escaped, and addresses in any case.
        let is_escaped = path.contains(&b'%');
        let (path, lower) = (path.to_ascii_lowercase(), body.to_ascii_lowercase());
        let named = |text: &String| {
            let text = text.to_ascii_lowercase();
            [&path, &lower].iter().any(|of| memchr::memmem::find(of, text.as_bytes()).is_some())
        };
        is_escaped || self.addresses.iter().chain(&self.domains).chain(&self.users).any(named)
    }

    /// True for the id of a person of staff or tests.
    pub fn is_user(&self, id: &str) -> bool {
        self.users.contains(id)
    }

    /// True for a normalised e-mail of staff or tests.
    pub fn contains(&self, email: &str) -> bool {
        self.addresses.contains(email)
            || (!self.domains.is_empty()
                && email.split_once('@').is_some_and(|(_, domain)| self.domains.contains(domain)))
    }
}
