//! Why a document can't be read.

use std::error::Error;
use std::io;
use std::time::Duration;

use humantime::format_duration;

use super::LONGEST;

/// Why a document can't be read. No text has the URL or the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// What the operating system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file has been replaced by something else.
    #[error("it is no regular file any more, but a folder, a pipe or a device")]
    NoFile,
    /// It has been emptied: by a writer that has not written yet, or could not.
    #[error("it is empty now; if it is to have no settings, write a comment")]
    Emptied,
    /// It is longer than [`LONGEST`].
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// Its bytes are not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The HTTP client can't be made: a certificate is missing or unusable.
    #[error("{0}")]
    Client(Box<dyn Error + Send + Sync>),
    /// There was no answer.
    #[error("there is no answer: {0}")]
    Unanswered(String),
    /// The answer did not end in time.
    #[error("there is no whole answer within {}", format_duration(*.0))]
    Late(Duration),
    /// The status of an answer that has no document.
    #[error("the answer is {status}{advice}", status = .0, advice = advice(*.0))]
    Status(u16),
    /// The body is compressed, which was not asked for.
    #[error("the answer is compressed, which was not asked for")]
    Compressed,
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => ": redirects are not followed, so name the document itself",
        401 | 403 => ": is VALUATION_CONFIG_TOKEN right, and may it read the document?",
        404 => ": is there such a document?",
        _ => "",
    }
}

impl Unread {
    /// An error of the HTTP client with its causes, without the URL, which may have keys.
    pub(super) fn unanswered(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self::Unanswered(text)
    }
}
