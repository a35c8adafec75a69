//! Finds the end of a chunked body (RFC 9112, section 7.1).
//!
//! hyper decodes the body; this follows the framing, at least as strictly. If the two could find
//! different ends, this one finds none.

/// The position in a chunked body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// The chunk's size as read so far; then the rest of the chunk.
    size: u64,
    digits: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Between the size and the end of its line.
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    Line,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
    Lost,
}

impl Chunked {
    /// Takes the next bytes, and returns how many of them belong to the body: all, if the framing is
    /// invalid.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let there = bytes.len() - at;
                let passed = usize::try_from(self.size).map_or(there, |left| left.min(there));
                self.size -= passed as u64;
                at += passed;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.after(bytes[at]);
                at += 1;
            }
        }
        at
    }

    /// Whether the body has ended.
    pub(super) fn is_done(self) -> bool {
        self.state == State::Done
    }

    /// The state after a byte of framing.
    fn after(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            // A `u64` has sixteen digits.
            (State::Size, _) if byte.is_ascii_hexdigit() && self.digits < 16 => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.size = self.size << 4 | u64::from(digit);
                self.digits += 1;
                State::Size
            }
            (State::Size, _) if self.digits == 0 => State::Lost,
            (State::Size | State::Extension, b'\r') => State::SizeLf,
            (State::Size, b';' | b' ' | b'\t') => State::Extension,
            (State::SizeLf, b'\n') if self.size == 0 => State::Line,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                *self = Self::default();
                State::Size
            }
            (State::Line, b'\r') => State::LastLf,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::Line,
            (State::LastLf, b'\n') => State::Done,
            (state @ State::Extension, _) if byte != b'\n' => state,
            (State::Line | State::Trailer, _) if byte != b'\n' => State::Trailer,
            _ => State::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of the text is the body, told in pieces of any size; `None` without an end.
    fn length(text: &str) -> Option<usize> {
        let lengths: Vec<_> = (1..=text.len())
            .map(|size| {
                let mut chunked = Chunked::default();
                let pieces = text.as_bytes().chunks(size);
                let length = pieces.map(|piece| chunked.pass(piece)).sum();
                chunked.is_done().then_some(length)
            })
            .collect();
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{text:?}: {lengths:?}");
        lengths[0]
    }

    #[test]
    fn the_end_is_behind_the_last_chunk_and_its_trailers() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "d\r\n{\"mileage\":1}\r\n0\r\n\r\n",
            "1;a=\"b\"\r\nx\r\nA \r\n0123456789\r\n0 ; c\r\n\r\n",
            "5\r\n0\r\n\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        ] {
            assert_eq!(length(&format!("{body}GET / HTTP/1.1\r\n")), Some(body.len()), "{body:?}");
            assert_eq!(length(&body[..body.len() - 1]), None, "{body:?}");
        }
    }

    #[test]
    fn what_another_reader_could_take_for_an_end_is_none() {
        for body in [
            "\r\n0\r\n\r\n",
            ";\r\n0\r\n\r\n",
            "0\n\n",
            "0\r\n\n",
            "0;a\nb\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "1\r\nxy\r\n0\r\n\r\n",
            "1\r\nx\n0\r\n\r\n",
            "x\r\n0\r\n\r\n",
            "-1\r\n0\r\n\r\n",
            "0x0\r\n\r\n",
            "10000000000000000\r\n0\r\n\r\n",
        ] {
            assert_eq!(length(body), None, "{body:?}");
        }
    }
}
