//! `[[workspaces.audiences]]`: the audiences that a workspace defines itself, read into rules.

use commerce::audience::Audience;
use commerce::audience::rule::{Condition, Rule, Test};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of `[[workspaces.audiences]]`. Numbers are texts as well, so that none goes through a float.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AudienceConfig {
    /// Lower-case letters, digits and `_`; none of those that are built in.
    pub name: String,
    /// What must hold of a person, all of it.
    pub all: Vec<ConditionConfig>,
}

/// What must hold: of an attribute, with tests of it; that a person has a tag; or that they are in an audience that is
/// built in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConditionConfig {
    /// The attribute's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// A tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The name of an audience that is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// There is a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// It is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
    /// It isn't this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_not: Option<String>,
    /// It is one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<String>>,
    /// It has this part or element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// A number above this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<String>,
    /// A number of at least this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
    /// A number below this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
    /// A number of at most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
}

impl ConditionConfig {
    fn tests(&self) -> Result<Vec<Test>, String> {
        let mut tests = Vec::new();
        tests.extend(self.exists.map(Test::Exists));
        tests.extend(self.is.clone().map(Test::Is));
        tests.extend(self.is_not.clone().map(Test::IsNot));
        tests.extend(self.one_of.clone().map(Test::OneOf));
        tests.extend(self.contains.clone().map(Test::Contains));
        for (text, test) in [
            (&self.above, Test::Above as fn(_) -> _),
            (&self.at_least, Test::AtLeast),
            (&self.below, Test::Below),
            (&self.at_most, Test::AtMost),
        ] {
            let Some(text) = text else { continue };
            let number = text.trim().parse().map_err(|_| format!("'{text}' is not a decimal number"))?;
            tests.push(test(number));
        }
        Ok(tests)
    }

    fn read(&self) -> Result<Condition, String> {
        let tests = self.tests()?;
        match (&self.attribute, &self.tag, &self.audience) {
            (Some(name), None, None) if name.trim().is_empty() => Err("the attribute has no name".to_owned()),
            (Some(_), None, None) if tests.is_empty() => {
                Err("an attribute needs a test: exists, is, is_not, one_of, contains, above, at_least, below or at_most"
                    .to_owned())
            }
            (Some(name), None, None) => Ok(Condition::Attribute { name: name.trim().to_owned(), tests }),
            (None, Some(tag), None) if tests.is_empty() => Ok(Condition::Tag(tag.clone())),
            (None, None, Some(name)) if tests.is_empty() => Audience::parse(name)
                .map(Condition::Member)
                .ok_or_else(|| format!("'{name}' is not an audience that is built in")),
            _ => Err("it is about one attribute with its tests, or one tag, or one audience".to_owned()),
        }
    }
}

/// Reads the audiences, and lists all their mistakes, each with its place.
pub(super) fn rules(configs: &[AudienceConfig], wrong: &mut impl FnMut(&str, String)) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for (place, config) in configs.iter().enumerate() {
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let name = config.name.as_str();
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fine) {
            wrong(
                &format!("audiences[{place}].name"),
                "it has 1 to 64 lower-case letters, digits and '_'".to_owned(),
            );
        }
        if Audience::parse(name).is_some() || rules.iter().any(|rule| rule.name == name) {
            wrong(&format!("audiences[{place}].name"), format!("there is an audience '{name}' already"));
        }
        if config.all.is_empty() {
            wrong(&format!("audiences[{place}].all"), "it needs a condition".to_owned());
        }
        let mut all = Vec::new();
        for (n, condition) in config.all.iter().enumerate() {
            match condition.read() {
                Ok(condition) => all.push(condition),
                Err(message) => wrong(&format!("audiences[{place}].all[{n}]"), message),
            }
        }
        rules.push(Rule { name: name.to_owned(), all });
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Rule>, Vec<String>> {
        #[derive(Deserialize)]
        struct File {
            audiences: Vec<AudienceConfig>,
        }
        let file: File = toml::from_str(text).unwrap();
        let mut mistakes = Vec::new();
        let rules =
            rules(&file.audiences, &mut |place, message| mistakes.push(format!("{place}: {message}")));
        if mistakes.is_empty() { Ok(rules) } else { Err(mistakes) }
    }

    #[test]
    fn an_audience_is_read_with_all_its_conditions() {
        let rules = read(
            "[[audiences]]\nname = 'gold'\nall = [\n\
             { attribute = 'plan', one_of = ['gold', 'black'] },\n\
             { attribute = 'seats', at_least = '10', below = '100.5' },\n\
             { tag = 'vip' },\n{ audience = 'high_value_paid' }]",
        )
        .unwrap();
        assert_eq!(rules[0].all.len(), 4);
        assert_eq!(rules[0].all[3], Condition::Member(Audience::HighValuePaid));
        let Condition::Attribute { tests, .. } = &rules[0].all[1] else { panic!("{rules:?}") };
        assert_eq!(tests[1], Test::Below("100.5".parse().unwrap()));
    }

    #[test]
    fn every_mistake_is_listed_with_its_place() {
        let mistakes = read(
            "[[audiences]]\nname = 'lapsed_90d'\nall = []\n\
             [[audiences]]\nname = 'Gold'\nall = [{ attribute = 'plan' }, { attribute = 'n', above = 'many' }, \
             { tag = 'a', is = 'b' }, { audience = 'nobody' }]",
        )
        .unwrap_err();
        let places: Vec<_> = mistakes.iter().filter_map(|mistake| mistake.split(": ").next()).collect();
        assert_eq!(
            places,
            [
                "audiences[0].name",
                "audiences[0].all",
                "audiences[1].name",
                "audiences[1].all[0]",
                "audiences[1].all[1]",
                "audiences[1].all[2]",
                "audiences[1].all[3]"
            ]
        );
    }
}
