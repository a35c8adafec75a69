//! The customer's page: a form, or a valuation. It works without JavaScript, which only spares the
//! reload: the page is rendered here in both cases.

use std::time::Duration;

use askama::Template;

use super::assets::{Asset, assets};
use super::number::count;
use crate::domain::{Money, Provider, Valuation};

/// The files that the page loads.
pub const ASSETS: &[Asset] = assets![
    "customer",
    "customer.css" = "text/css; charset=utf-8",
    "customer.js" = "text/javascript; charset=utf-8"
];

/// How much of a customer's text is repeated in its field, in characters.
pub const REPEATED: usize = 64;

/// The page in one of its states.
#[derive(Debug, Default, Template)]
#[template(path = "customer/page.html")]
pub struct Page {
    /// Shown instead of the form.
    pub valuation: Option<Shown>,
    /// The registration mark.
    pub vrm: Field,
    /// The mileage.
    pub mileage: Field,
    /// Why there is no valuation, if it is no field's fault.
    pub trouble: Option<Trouble>,
}

/// A field of the form: what stands in it, and what is wrong with that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// As the customer typed it, normalised.
    pub text: String,
    /// In the words of the API.
    pub error: Option<String>,
}

/// Why there is no valuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In the words of the API.
    pub message: String,
    /// When a retry makes sense.
    pub retry_after: Option<Duration>,
}

/// A valuation, as texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    vrm: String,
    lowest: String,
    highest: String,
    midpoint: String,
    provider: Option<&'static str>,
}

impl Page {
    /// The form with these texts in it, each cut after [`REPEATED`] characters.
    #[must_use]
    pub fn form(vrm: &str, mileage: &str) -> Self {
        let field = |text: &str| Field { text: text.chars().take(REPEATED).collect(), error: None };
        Self { vrm: field(vrm), mileage: field(mileage), ..Self::default() }
    }

    /// The result.
    #[must_use]
    pub fn of(valuation: &Valuation) -> Self {
        Self { valuation: Some(Shown::of(valuation)), ..Self::default() }
    }

    fn title(&self) -> String {
        match &self.valuation {
            Some(valuation) => format!("{}: {}", valuation.vrm, valuation.midpoint),
            None if self.has_errors() => "Error: value your car".into(),
            None => "Value your car".into(),
        }
    }

    fn has_errors(&self) -> bool {
        self.trouble.is_some() || self.vrm.error.is_some() || self.mileage.error.is_some()
    }
}

impl Shown {
    fn of(valuation: &Valuation) -> Self {
        Self {
            vrm: valuation.vrm.to_string(),
            lowest: pounds(valuation.lowest),
            highest: pounds(valuation.highest),
            midpoint: pounds(valuation.midpoint()),
            provider: valuation.provider.map(Provider::name),
        }
    }
}

/// `£10,387.75`; without pence if there are none.
fn pounds(amount: Money) -> String {
    let pounds = count(amount.pence() / 100);
    match amount.pence() % 100 {
        0 => format!("£{pounds}"),
        pence => format!("£{pounds}.{pence:02}"),
    }
}

/// A registration mark as people type it ("ab12 cde"), in the form that is asked for.
#[must_use]
pub fn normalised_mark(text: &str) -> String {
    text.split_whitespace().collect::<String>().to_uppercase()
}

/// A mileage as people type it ("42,000"), in the form that is asked for. A comma that separates no
/// thousands stays, so that the API says what is wrong: "12,5" is not 125.
#[must_use]
pub fn normalised_mileage(text: &str) -> String {
    let text: String = text.split_whitespace().collect();
    let whole = text.split('.').next().unwrap_or_default();
    let mut groups = whole.split(',');
    let are_digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let separates_thousands = (1..=3).contains(&first.len())
        && are_digits(first)
        && groups.all(|group| group.len() == 3 && are_digits(group))
        && !text[whole.len()..].contains(',');
    if separates_thousands { text.replace(',', "") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Vrm;

    fn valuation(lowest: u64, highest: u64, provider: Option<Provider>) -> Valuation {
        let money = |pence| Money::from_pence(pence).unwrap();
        let vrm = Vrm::parse("AB12CDE").unwrap();
        Valuation { vrm, lowest: money(lowest), highest: money(highest), provider }
    }

    #[test]
    fn money_has_thousands_separators_and_pence_only_if_there_are_some() {
        let text = |pence| pounds(Money::from_pence(pence).unwrap());
        assert_eq!(text(0), "£0");
        assert_eq!(text(5), "£0.05");
        assert_eq!(text(99_900), "£999");
        assert_eq!(text(100_000), "£1,000");
        assert_eq!(text(1_038_775), "£10,387.75");
        assert_eq!(text(Money::MAX.pence()), "£99,999,999.99");
    }

    #[test]
    fn a_valuation_names_its_provider_and_an_old_one_without_a_provider_leaves_the_line_out() {
        let page = |provider| Page::of(&valuation(932_500, 1_145_050, provider)).render().unwrap();
        let text = page(Some(Provider::SuperCar));
        for part in ["AB12CDE", "£9,325", "£11,450.50", "£10,387.75"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.contains("Valued by <strong>SuperCar Valuations</strong>"));
        let old = page(None);
        assert!(!old.contains("Valued by") && !old.contains("null"), "{old}");
    }

    #[test]
    fn text_of_a_customer_is_escaped() {
        let hostile = r#""><script>alert(1)</script>"#;
        let mut page = Page::form(hostile, hostile);
        page.vrm.error = Some(hostile.into());
        let text = page.render().unwrap();
        assert!(!text.contains("<script>alert"), "{text}");
    }

    #[test]
    fn marks_and_mileages_are_taken_as_people_type_them() {
        assert_eq!(normalised_mark(" ab12 cde\t"), "AB12CDE");
        for (typed, asked) in [
            ("42,000 ", "42000"),
            ("1,042,000.5", "1042000.5"),
            ("42 000", "42000"),
            ("12.5", "12.5"),
            ("1234567", "1234567"),
            ("12,5", "12,5"),
            ("1.000,50", "1.000,50"),
            ("1000,000", "1000,000"),
            (",000", ",000"),
            ("1,0000", "1,0000"),
            ("-1,000", "-1,000"),
            ("", ""),
        ] {
            assert_eq!(normalised_mileage(typed), asked, "{typed}");
        }
    }
}
