//! How Premium's answers are read.

use proptest::prelude::*;
use valuation_server::domain::Money;
use valuation_server::providers::{PremiumRange, parse_premium as parse};

const RANGE: PremiumRange = PremiumRange::PrivateSale;

fn read(body: &str) -> Result<(String, String), String> {
    read_range(body, RANGE)
}

fn read_range(body: &str, range: PremiumRange) -> Result<(String, String), String> {
    parse(body.as_bytes(), range)
        .map(|q| (q.lowest().to_string(), q.highest().to_string()))
        .map_err(|e| e.to_string())
}

fn pair(minimum: &str, maximum: &str) -> String {
    format!(
        "<root><ValuationPrivateSaleMinimum>{minimum}</ValuationPrivateSaleMinimum>\
         <ValuationPrivateSaleMaximum>{maximum}</ValuationPrivateSaleMaximum></root>"
    )
}

fn good() -> String {
    pair("11500", "12750")
}

const EXAMPLE: &str = r#"<?xml version="1.0" encoding="UTF-8" ?>
<root>
  <RegistrationDate>2012-06-14T00:00:00.0000000</RegistrationDate>
  <RegistrationYear>2001</RegistrationYear>
  <RegistrationMonth>10</RegistrationMonth>
  <ValuationPrivateSaleMinimum>11500</ValuationPrivateSaleMinimum>
  <ValuationPrivateSaleMaximum>12750</ValuationPrivateSaleMaximum>
  <ValuationDealershipMinimum>9500</ValuationDealershipMinimum>
  <ValuationDealershipMaximum>10275</ValuationDealershipMaximum>
</root>
"#;

#[test]
fn reads_the_example_of_the_contract() {
    assert_eq!(read(EXAMPLE), Ok(("11500".into(), "12750".into())));
    let dealership = read_range(EXAMPLE, PremiumRange::Dealership);
    assert_eq!(dealership, Ok(("9500".into(), "10275".into())));
}

#[test]
fn reads_either_document_element_with_elements_in_any_order() {
    let body = "<Response xmlns='urn:x' a=\"&lt;\"><Other><Deep/></Other>\
        <ValuationPrivateSaleMaximum>12750</ValuationPrivateSaleMaximum><!-- c --><?pi?>\
        <ValuationPrivateSaleMinimum unit='GBP'>11500</ValuationPrivateSaleMinimum></Response>";
    assert_eq!(read(body), Ok(("11500".into(), "12750".into())));
}

#[test]
fn tolerates_space_references_and_cdata_in_a_number() {
    for (minimum, maximum) in [
        ("\r\n\t 11500 ", "12750"),
        ("&#49;1500", "&#x31;2750"),
        ("<![CDATA[11500]]>", "1<![CDATA[2]]>750"),
        ("11500.00", "1.275e4"),
        ("+11500", "12750."),
    ] {
        let read = read(&pair(minimum, maximum));
        assert_eq!(read, Ok(("11500".into(), "12750".into())), "{minimum} {maximum}");
    }
}

#[test]
fn reads_encodings_in_which_ascii_is_ascii_and_no_other() {
    for encoding in ["utf-8", "UTF8", "us-ascii", "ISO-8859-1", "windows-1252"] {
        let body = format!("<?xml version='1.0' encoding='{encoding}'?>{}", good());
        assert!(read(&body).is_ok(), "{encoding}");
    }
    for encoding in ["UTF-16", "utf-7", "EBCDIC-CP-US", "UTF-32", "x", ""] {
        let body = format!("<?xml version='1.0' encoding='{encoding}'?>{}", good());
        assert!(read(&body).unwrap_err().contains("encoding"), "{encoding}");
    }
    let utf16: Vec<u8> = good().encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse(&utf16, RANGE).is_err());
    assert!(parse(&[&[0xff, 0xfe], &utf16[..]].concat(), RANGE).is_err());
    assert!(read(&format!("\u{feff}{}", good())).is_ok());
}

#[test]
fn a_pound_sign_next_to_the_values_is_read_in_the_declared_encoding() {
    let max = "<ValuationPrivateSaleMaximum>12750</ValuationPrivateSaleMaximum>";
    let min = "<ValuationPrivateSaleMinimum>11500</ValuationPrivateSaleMinimum>";
    let body = |declared: &str| {
        let before = format!("{declared}<root><Note>");
        [before.as_bytes(), b"\xa3 \x80", format!("</Note>{min}{max}</root>").as_bytes()].concat()
    };
    for encoding in ["ISO-8859-1", "iso-8859-15", "Windows-1252"] {
        let declared = format!("<?xml version='1.0' encoding='{encoding}'?>");
        let quote = parse(&body(&declared), RANGE).unwrap();
        assert_eq!(quote.highest().to_string(), "12750", "{encoding}");
    }
    let utf8 = "<?xml version='1.0' encoding='UTF-8'?>";
    for declared in ["", "<?xml version='1.0'?>", utf8, "<!-- c -->"] {
        let error = parse(&body(declared), RANGE).unwrap_err().to_string();
        assert!(error.contains("not UTF-8"), "{declared}: {error}");
    }
    // Inside a value it is no number, in whichever encoding.
    let declared = "<?xml version='1.0' encoding='ISO-8859-1'?>";
    let value = [declared.as_bytes(), b"<root><ValuationPrivateSaleMinimum>\xa31"].concat();
    let value = [&value, &b"</ValuationPrivateSaleMinimum>"[..], max.as_bytes(), b"</root>"];
    let error = parse(&value.concat(), RANGE).unwrap_err().to_string();
    assert!(error.contains("not a decimal number"), "{error}");
}

#[test]
fn refuses_values_that_are_no_amounts() {
    for (minimum, maximum, because) in [
        ("", "1", "Minimum can't be used: not a decimal number"),
        ("1", "NaN", "Maximum can't be used: not a decimal number"),
        ("INF", "1", "not a decimal number"),
        ("1,5", "2", "not a decimal number"),
        ("£1", "2", "not a decimal number"),
        ("1 000", "2000", "not a decimal number"),
        ("\u{a0}1", "2", "not a decimal number"),
        ("-1", "2", "must not be negative"),
        ("1", "1e400", "must not exceed"),
        ("2", "1", "the lower value is above the upper one"),
        ("0", "0.00", "both values are zero"),
        ("1<b/>", "2", "Minimum holds something else than text"),
        ("<b>1</b>", "2", "Minimum holds something else than text"),
        ("1<!-- 5 -->5", "20", "Minimum holds something else than text"),
        ("1<?p?>5", "20", "Minimum holds something else than text"),
    ] {
        let error = read(&pair(minimum, maximum)).unwrap_err();
        assert!(error.contains(because), "{minimum} {maximum}: {error}");
    }
}

#[test]
fn refuses_what_is_no_such_document() {
    let min = "<ValuationPrivateSaleMinimum>1</ValuationPrivateSaleMinimum>";
    let max = "<ValuationPrivateSaleMaximum>2</ValuationPrivateSaleMaximum>";
    let deep = format!("<root>{}", "<a>".repeat(10_000));
    let good = good();
    for (body, because) in [
        ("", "the body has no element"),
        ("plain", "text outside"),
        ("{}", "text outside"),
        ("<root/>", "Minimum is missing"),
        (&format!("<root>{min}</root>"), "Maximum is missing"),
        (&format!("<root>{min}{max}{min}</root>"), "Minimum is there twice"),
        (&format!("<root>{min}{max}"), "breaks off"),
        (&format!("<root><in>{min}{max}</in></root>"), "Minimum is missing"),
        (&format!("<x:root xmlns:x='u'>{min}{max}</x:root>"), "neither root nor Response"),
        (&format!("<html>{min}{max}</html>"), "neither root nor Response"),
        (&format!("<ROOT>{min}{max}</ROOT>"), "neither root nor Response"),
        (&format!("{good}{good}"), "second document element"),
        (&format!("{good}junk"), "text outside"),
        (&format!("junk{good}"), "text outside"),
        (&format!("{good}&amp;"), "text outside"),
        (&format!("{good}<![CDATA[ ]]>"), "text outside"),
        (&format!("{good}<?xml version='1.0'?>"), "not at the start"),
        (&format!(" <?xml version='1.0'?>{good}"), "not at the start"),
        (&format!("<!DOCTYPE root>{good}"), "document type declaration"),
        (&format!("<!DOCTYPE r [<!ENTITY a '1'>]>{good}"), "document type declaration"),
        (&pair("&a;", "2"), "an entity"),
        (&pair("&#0;", "2"), "an entity"),
        (&pair("1&", "2"), "not XML"),
        (&format!("<root>&nbsp;{min}{max}</root>"), "an entity"),
        (&format!("<root>{min}{max}</Response>"), "not XML"),
        (&format!("<root>{min}{max}</root></root>"), "not XML"),
        (&deep, "nested too deep"),
        (&nested(33), "nested too deep"),
        (&format!("<root><!-- a -- b -->{min}{max}</root>"), "not XML"),
        (&format!("{good}<!-- a --->"), "not XML"),
    ] {
        let error = read(body).unwrap_err();
        assert!(error.contains(because), "{}: {error}", &body[..body.len().min(200)]);
    }
}

/// Good values next to nested elements, the innermost of which is at this depth.
fn nested(depth: usize) -> String {
    let inner = "<a>".repeat(depth - 1) + &"</a>".repeat(depth - 1);
    good().replace("</root>", &format!("{inner}</root>"))
}

#[test]
fn reads_elements_that_are_nested_as_deep_as_is_allowed() {
    assert!(read(&nested(32)).is_ok());
}

#[test]
fn a_comment_with_two_hyphens_inside_is_not_xml() {
    let good = good();
    assert!(read(&good.replace("<root>", "<root><!-- a - b -->")).is_ok());
    for comment in ["<!-- a -- b -->", "<!-- a --->"] {
        let error = read(&good.replace("<root>", &format!("<root>{comment}"))).unwrap_err();
        assert!(error.contains("not XML"), "{comment}: {error}");
    }
}

#[test]
fn elements_may_be_nested_32_deep_and_no_deeper() {
    let nested = |inside: usize| {
        let (opening, closing) = ("<a>".repeat(inside), "</a>".repeat(inside));
        read(&good().replace("<root>", &format!("<root>{opening}{closing}")))
    };
    assert!(nested(31).is_ok());
    assert!(nested(32).unwrap_err().contains("nested too deep"));
}

#[test]
fn an_error_repeats_nothing_of_the_body() {
    for body in [
        "CANARY".to_owned(),
        "<CANARY/>".to_owned(),
        "<root><CANARY></root>".to_owned(),
        "<root>&CANARY;</root>".to_owned(),
        format!("<?xml version='1.0' encoding='CANARY'?>{}", good()),
        pair("CANARY", "2"),
    ] {
        assert!(!read(&body).unwrap_err().contains("CANARY"), "{body}");
    }
}

proptest! {
    #[test]
    fn never_panics_and_what_is_accepted_is_a_range(
        minimum in "[-+ 0-9.eE&#;]{0,12}",
        maximum in "[-+ 0-9.eE]{0,12}",
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        markup in "[<>/!?\\[\\]&;# rot\\-CDATA='\"]{0,60}",
    ) {
        let _ = parse(&noise, RANGE);
        let _ = parse(markup.as_bytes(), RANGE);
        let _ = parse(pair(&markup, "2").as_bytes(), RANGE);
        if let Ok(quote) = parse(pair(&minimum, &maximum).as_bytes(), RANGE) {
            prop_assert!(quote.lowest() <= quote.highest());
            prop_assert_eq!(quote.highest(), Money::parse(maximum.trim()).unwrap());
        }
    }
}
