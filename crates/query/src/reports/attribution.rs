//! `attribution` (§6.11): gross revenue by the channels that led to it.

use serde::Serialize;

use super::breakdown::Breakdown;
use super::{Basis, Question};
use crate::amount::{Amount, Percent};

/// How an order is shared among the touches before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Model {
    /// All to the latest.
    #[default]
    LastClick,
    /// Equal shares.
    Linear,
    /// Half the weight for every seven days.
    TimeDecay,
}

impl Model {
    /// The name in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LastClick => "last_click",
            Self::Linear => "linear",
            Self::TimeDecay => "time_decay",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The model.
    pub model: Model,
    /// Days before a purchase.
    pub window: u32,
}

impl Default for Asked {
    fn default() -> Self {
        Self { model: Model::default(), window: 30 }
    }
}

/// What isn't offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// Not one of the models.
    Model,
    /// Not one of the windows.
    Window,
}

impl Asked {
    /// Reads the parameters.
    pub fn read(model: Option<&str>, window: Option<&str>) -> Result<Self, Invalid> {
        let mut asked = Self::default();
        if let Some(text) = model {
            let all = [Model::LastClick, Model::Linear, Model::TimeDecay];
            asked.model = all.into_iter().find(|model| model.as_str() == text).ok_or(Invalid::Model)?;
        }
        if let Some(text) = window {
            let offered = [7, 14, 30, 60, 90].into_iter().find(|days: &u32| days.to_string() == text);
            asked.window = offered.ok_or(Invalid::Window)?;
        }
        Ok(asked)
    }
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Attribution<'a> {
    /// By revenue descending.
    pub attributed: Vec<Credited<'a>>,
    /// Purchases without a person or a touch in the window. With `attributed`, all revenue.
    pub unattributed: Unattributed,
    /// The model.
    pub model: &'static str,
    /// The window.
    pub window_days: u32,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// What a channel is credited with.
#[derive(Debug, Serialize)]
pub struct Credited<'a> {
    /// The campaign of the touch.
    pub campaign: &'a str,
    /// Its traffic source; `(none)` where it says none.
    pub source: &'a str,
    /// Its medium; `(none)` where it says none.
    pub medium: &'a str,
    /// Its shares, gross.
    pub revenue: Amount,
    /// Orders with credit to it.
    pub orders: i128,
    /// Of all revenue, attributed or not.
    pub pct_of_total: Percent,
}

/// What nobody is credited with.
#[derive(Debug, Serialize)]
pub struct Unattributed {
    /// Gross.
    pub revenue: Amount,
    /// Orders.
    pub orders: i128,
}

/// Computes the answer.
pub fn of<'a>(question: &Question<'a>, asked: Asked) -> Attribution<'a> {
    let name = |what| format!("{}_{}_{what}", asked.model.as_str(), asked.window);
    let (revenue, orders) = (name("revenue"), name("orders"));
    let names = [revenue.as_str(), orders.as_str()];
    let channels = ["utm_campaign", "utm_source", "utm_medium"];
    let found = Breakdown::of(question, "attribution", channels, names);
    let rest = Breakdown::of(question, "unattributed", [], names);
    let [rest_revenue, rest_orders] = rest.rows.first().map_or([0; 2], |([], sums)| *sums);
    let total = rest_revenue + found.rows.iter().map(|(_, [revenue, _])| revenue).sum::<i128>();
    let row = |([campaign, source, medium], [revenue, orders]): &([&'a str; 3], [i128; 2])| Credited {
        campaign,
        source,
        medium,
        revenue: found.amount(*revenue),
        orders: *orders,
        pct_of_total: Percent::of(*revenue, total),
    };
    Attribution {
        attributed: found.rows.iter().map(row).collect(),
        unattributed: Unattributed { revenue: rest.amount(rest_revenue), orders: rest_orders },
        model: asked.model.as_str(),
        window_days: asked.window,
        days: question.range.days(),
        basis: Basis { corrected: found.basis.corrected || rest.basis.corrected, ..found.basis },
    }
}

#[cfg(test)]
mod tests {
    use super::super::breakdown::samples::cell;
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::cells;

    #[test]
    fn ana_c19_the_asked_model_and_window_are_answered_and_shares_are_of_all_revenue() {
        let credited = |campaign: &str, linear, orders| {
            let channel = [("utm_campaign", campaign), ("utm_source", "a"), ("utm_medium", "(none)")];
            let values =
                [("linear_30_revenue", linear), ("linear_30_orders", orders), ("linear_7_revenue", 1)];
            cell("attribution", "2026-03-01", &channel, &values)
        };
        let rest = [("linear_30_revenue", 5_000), ("linear_30_orders", 1)];
        let known = cells(&[
            credited("A", 2_500, 1),
            credited("B", 7_500, 2),
            cell("unattributed", "2026-03-01", &[], &rest),
        ]);
        let asked = Asked { model: Model::Linear, window: 30 };
        let question = question(Some(&known), "2026-03-01", "2026-03-01");
        assert_eq!(
            serde_json::to_string(&of(&question, asked)).unwrap(),
            concat!(
                r#"{"attributed":[{"campaign":"B","source":"a","medium":"(none)","revenue":75.00,"orders":2,"pct_of_total":50.0},"#,
                r#"{"campaign":"A","source":"a","medium":"(none)","revenue":25.00,"orders":1,"pct_of_total":16.7}],"#,
                r#""unattributed":{"revenue":50.00,"orders":1},"model":"linear","window_days":30,"days":1,"#,
                r#""currency":"USD","held":{},"as_of":null,"corrected":false}"#
            )
        );
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        assert_eq!(Asked::read(None, None), Ok(Asked { model: Model::LastClick, window: 30 }));
        assert_eq!(Asked::read(Some("time_decay"), Some("90")).unwrap().window, 90);
        assert_eq!(Asked::read(Some("first_click"), Some("7")), Err(Invalid::Model));
        for window in ["8", "07", "-7", "", "x"] {
            assert_eq!(Asked::read(None, Some(window)), Err(Invalid::Window), "{window}");
        }
    }
}
