//! Premium's XML, read strictly: the XML reader itself accepts much that is not well-formed.

use std::borrow::Cow;
use std::str;

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, Event};

use super::PremiumRange;
use crate::domain::{Money, Provider, Quote, QuoteError};

/// How deep elements may be nested. The contract needs two.
const MAX_DEPTH: usize = 32;

/// Reads Premium's answer: an XML document whose element is `root` or `Response`, with each of
/// the two elements of `range` once among its children, in any order. Other elements are skipped.
///
/// Not usable: a document type declaration or an entity that needs one, an encoding that does not extend
/// ASCII, an element or a comment inside a value, elements nested deeper than 32, tags that don't
/// match, and anything but comments around the document element. Attributes are ignored.
///
/// # Errors
/// [`QuoteError::Unavailable`] says what can't be used. It repeats nothing of the body, which may
/// contain the request's key.
pub fn parse(body: &[u8], range: PremiumRange) -> Result<Quote, QuoteError> {
    let (text, utf8) = match str::from_utf8(body) {
        Ok(text) => (Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)), true),
        // Read as ISO-8859-1, which has a character for each byte. In every single-byte encoding that
        // extends ASCII the ASCII characters are the same, and no others matter.
        Err(_) => (Cow::Owned(body.iter().copied().map(char::from).collect()), false),
    };
    let mut values = Values { range, texts: [None, None], open: None };
    walk(&text, utf8, &mut values)?;
    let [lowest, highest] = [values.amount(0)?, values.amount(1)?];
    Quote::new(lowest, highest, Provider::Premium)
}

fn walk(text: &str, utf8: bool, values: &mut Values) -> Result<(), QuoteError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    reader.config_mut().check_comments = true;
    let mut depth = 0;
    let mut had_document = false;
    let mut first = true;
    loop {
        let event = reader.read_event().map_err(|_| unusable("the body is not XML"))?;
        match event {
            Event::Decl(declaration) if first => check_encoding(&declaration, utf8)?,
            _ if first && !utf8 => return Err(unusable("the body is not UTF-8")),
            Event::Decl(_) => return Err(unusable("an XML declaration is not at the start")),
            Event::DocType(_) => return Err(unusable("the body has a document type declaration")),
            // The reader expands an empty element into its start and its end.
            Event::Start(start) | Event::Empty(start) => {
                let name = start.name();
                match depth {
                    0 if had_document => return Err(unusable("a second document element")),
                    0 if !matches!(name.0, "root" | "Response") => {
                        return Err(unusable("the document element is neither root nor Response"));
                    }
                    0 => had_document = true,
                    1 => values.enter(name.0)?,
                    MAX_DEPTH => return Err(unusable("the elements are nested too deep")),
                    _ => values.only_text()?,
                }
                depth += 1;
            }
            Event::End(_) => {
                // Not below zero: the reader rejects an end without its start.
                depth -= 1;
                if depth == 1 {
                    values.open = None;
                }
            }
            Event::Text(text) if depth > 0 => values.push(&text),
            Event::Text(text) if text.chars().all(is_space) => {}
            Event::CData(text) if depth > 0 => values.push(&text),
            Event::GeneralRef(reference) if depth > 0 => {
                values.push(resolve(&reference)?.encode_utf8(&mut [0; 4]));
            }
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                return Err(unusable("text outside the document element"));
            }
            Event::Comment(_) | Event::PI(_) => values.only_text()?,
            Event::Eof if depth > 0 => return Err(unusable("the body breaks off")),
            Event::Eof if !had_document => return Err(unusable("the body has no element")),
            Event::Eof => return Ok(()),
        }
        first = false;
    }
}

/// The texts of the two wanted elements.
struct Values {
    range: PremiumRange,
    texts: [Option<String>; 2],
    /// The element that the reader is in.
    open: Option<usize>,
}

impl Values {
    /// A child of the document element begins.
    fn enter(&mut self, name: &str) -> Result<(), QuoteError> {
        self.open = self.range.elements().iter().position(|wanted| *wanted == name);
        if let Some(index) = self.open
            && self.texts[index].replace(String::new()).is_some()
        {
            return Err(self.wrong(index, "is there twice"));
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        if let Some(Some(value)) = self.open.map(|index| &mut self.texts[index]) {
            value.push_str(text);
        }
    }

    /// Something other than text begins.
    fn only_text(&self) -> Result<(), QuoteError> {
        match self.open {
            Some(index) => Err(self.wrong(index, "holds something else than text")),
            None => Ok(()),
        }
    }

    fn amount(&self, index: usize) -> Result<Money, QuoteError> {
        let text = self.texts[index].as_deref().ok_or_else(|| self.wrong(index, "is missing"))?;
        Money::parse(text.trim_matches(is_space))
            .map_err(|error| self.wrong(index, &format!("can't be used: {error}")))
    }

    fn wrong(&self, index: usize, how: &str) -> QuoteError {
        unusable(&format!("{} {how}", self.range.elements()[index]))
    }
}

/// Checks the declared encoding: UTF-8, or a single-byte encoding that extends ASCII.
fn check_encoding(declaration: &BytesDecl<'_>, utf8: bool) -> Result<(), QuoteError> {
    let encoding = declaration.encoding().transpose();
    let encoding = encoding.map_err(|_| unusable("the XML declaration is malformed"))?;
    let encoding = encoding.map_or("utf-8".into(), |encoding| encoding.to_ascii_lowercase());
    match &*encoding {
        "utf-8" | "utf8" | "us-ascii" | "ascii" if utf8 => Ok(()),
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Err(unusable("the body is not UTF-8")),
        one_byte if one_byte.starts_with("iso-8859-") || one_byte.starts_with("windows-125") => {
            Ok(())
        }
        _ => Err(unusable("the body's encoding is not read")),
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, QuoteError> {
    let character = match &**reference {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => reference.resolve_char_ref().ok().flatten(),
    };
    character.ok_or_else(|| unusable("an entity is not one of XML's own"))
}

/// XML's white space, a subset of Unicode's.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn unusable(message: &str) -> QuoteError {
    QuoteError::unusable(message)
}
