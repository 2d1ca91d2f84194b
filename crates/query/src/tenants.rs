//! Who asks: workspaces and their keys.

use std::sync::Arc;

use commerce::id::Mark;
use commerce::time::Zone;
use commerce::{Currency, WorkspaceId};
use hashbrown::HashMap;
use http::{HeaderMap, header};

/// What a report needs to know of a workspace.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its id.
    pub id: WorkspaceId,
    /// The currency of totals.
    pub base: Currency,
    /// Cuts the days.
    pub zone: Zone,
    /// How many days reports reach back; `None`: no limit.
    pub retention_days: Option<u32>,
}

/// The two kinds of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// Ingestion only: it stands in web pages.
    Publishable,
    /// Everything.
    Secret,
}

/// Why a request isn't answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// No key, or one that nobody has.
    Unknown,
    /// A publishable key.
    NotSecret,
}

/// All workspaces, and who holds which key.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    all: Vec<Arc<Tenant>>,
    /// By digest, so that the time of a look-up says nothing about a key.
    keys: HashMap<Mark, (Arc<Tenant>, KeyKind)>,
}

impl Tenants {
    /// Adds a workspace with its keys. A key that is there already is refused: it can't belong to two.
    pub fn add<'a>(
        &mut self,
        tenant: Tenant,
        keys: impl IntoIterator<Item = (KeyKind, &'a str)>,
    ) -> Result<(), String> {
        let tenant = Arc::new(tenant);
        for (kind, key) in keys {
            if key.is_empty() || self.keys.insert(digest(key), (Arc::clone(&tenant), kind)).is_some() {
                return Err(format!("an analytics key of workspace '{}' is empty or there twice", tenant.id));
            }
        }
        self.all.push(tenant);
        Ok(())
    }

    /// A workspace by its id.
    pub fn get(&self, id: &str) -> Option<&Arc<Tenant>> {
        self.all.iter().find(|tenant| tenant.id.as_str() == id)
    }

    /// All, in the order of the configuration.
    pub fn all(&self) -> &[Arc<Tenant>] {
        &self.all
    }

    /// The workspace of a secret key.
    pub fn of_secret(&self, key: &str) -> Option<&Arc<Tenant>> {
        self.keys.get(&digest(key)).filter(|(_, kind)| *kind == KeyKind::Secret).map(|(tenant, _)| tenant)
    }

    /// The workspace of a secret key: `X-API-Key`, then `Authorization: Bearer`; the first that is there decides.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<&Arc<Tenant>, Refused> {
        let key = presented(headers).ok_or(Refused::Unknown)?;
        match self.keys.get(&digest(key)) {
            None => Err(Refused::Unknown),
            Some((_, KeyKind::Publishable)) => Err(Refused::NotSecret),
            Some((tenant, KeyKind::Secret)) => Ok(tenant),
        }
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(key) = text("x-api-key").filter(|key| !key.is_empty()) {
        return Some(key);
    }
    let (scheme, key) = text(header::AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn digest(key: &str) -> Mark {
    Mark::of(&[b"key", key.as_bytes()])
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// `demo`, as in development.
    pub(crate) fn demo() -> Tenant {
        Tenant {
            id: WorkspaceId::try_new("demo").unwrap(),
            base: Currency::USD,
            zone: Zone::utc(),
            retention_days: None,
        }
    }

    /// `demo` with its keys, and `other`.
    pub(crate) fn tenants() -> Tenants {
        let mut tenants = Tenants::default();
        let keys = [(KeyKind::Publishable, "pk_dev_demo"), (KeyKind::Secret, "sk_dev_demo")];
        tenants.add(demo(), keys).unwrap();
        let other = Tenant { id: WorkspaceId::try_new("other").unwrap(), ..demo() };
        tenants.add(other, [(KeyKind::Secret, "sk_other")]).unwrap();
        tenants
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{demo, tenants};
    use super::*;

    fn ask(headers: &[(&'static str, &'static str)]) -> Result<String, Refused> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, http::HeaderValue::from_static(value));
        }
        tenants().authenticate(&map).map(|tenant| tenant.id.to_string())
    }

    #[test]
    fn the_first_key_that_is_there_decides() {
        assert_eq!(ask(&[("x-api-key", "sk_dev_demo")]), Ok("demo".to_owned()));
        assert_eq!(ask(&[("authorization", "Bearer sk_other")]), Ok("other".to_owned()));
        assert_eq!(ask(&[("authorization", "bearer  sk_other ")]), Ok("other".to_owned()));
        let both = [("x-api-key", "sk_dev_demo"), ("authorization", "Bearer sk_other")];
        assert_eq!(ask(&both), Ok("demo".to_owned()));
        let wrong_first = [("x-api-key", "nonsense"), ("authorization", "Bearer sk_other")];
        assert_eq!(ask(&wrong_first), Err(Refused::Unknown));
        assert_eq!(ask(&[("x-api-key", ""), ("authorization", "Bearer sk_other")]), Ok("other".to_owned()));
    }

    #[test]
    fn without_a_secret_key_nothing_is_read() {
        assert_eq!(ask(&[]), Err(Refused::Unknown));
        assert_eq!(ask(&[("authorization", "Basic sk_other")]), Err(Refused::Unknown));
        assert_eq!(ask(&[("authorization", "sk_other")]), Err(Refused::Unknown));
        assert_eq!(ask(&[("x-api-key", "pk_dev_demo")]), Err(Refused::NotSecret));
        assert_eq!(ask(&[("authorization", "Bearer pk_dev_demo")]), Err(Refused::NotSecret));
    }

    #[test]
    fn a_key_belongs_to_one_workspace() {
        assert!(tenants().add(demo(), [(KeyKind::Secret, "sk_other")]).is_err());
        assert!(tenants().add(demo(), [(KeyKind::Secret, "")]).is_err());
    }
}
