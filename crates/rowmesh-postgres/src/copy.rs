//! Rows for `COPY … FROM STDIN`, gathered in memory, in the two formats that PostgreSQL's documentation of COPY tells: binary for our own
//! tables, whose types we know, text for the application's. Sends nothing itself.

use std::borrow::Cow;

use bytes::Bytes;

/// What every such stream begins with: signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// Bytes of one message to the server.
const MESSAGE_BYTES: usize = 1 << 20;

/// Rows of equally many columns.
#[derive(Default)]
pub struct CopyRows {
    bytes: Vec<u8>,
}

/// One row that is being written.
pub struct CopyRow<'r> {
    bytes: &'r mut Vec<u8>,
}

impl CopyRows {
    /// Begins a row of so many columns.
    pub fn row(&mut self, columns: i16) -> CopyRow<'_> {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(HEADER);
        }
        self.bytes.extend_from_slice(&columns.to_be_bytes());
        CopyRow { bytes: &mut self.bytes }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that they take.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All of them as messages for the server; none are left.
    pub fn take(&mut self) -> impl Iterator<Item = Bytes> + use<> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(&TRAILER);
        messages(bytes)
    }
}

/// Rows in text format: a line each, tabs between values, `\N` for NULL.
#[derive(Default)]
pub struct CopyTexts {
    bytes: Vec<u8>,
}

impl CopyTexts {
    /// Adds a row.
    pub fn row<'v>(&mut self, values: impl Iterator<Item = Option<Cow<'v, str>>>) {
        for (position, value) in values.enumerate() {
            if position > 0 {
                self.bytes.push(b'\t');
            }
            match value {
                Some(text) => self.escaped(&text),
                None => self.bytes.extend_from_slice(b"\\N"),
            }
        }
        self.bytes.push(b'\n');
    }

    fn escaped(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'\\' => self.bytes.extend_from_slice(b"\\\\"),
                b'\t' => self.bytes.extend_from_slice(b"\\t"),
                b'\n' => self.bytes.extend_from_slice(b"\\n"),
                b'\r' => self.bytes.extend_from_slice(b"\\r"),
                _ => self.bytes.push(byte),
            }
        }
    }

    /// All of them as messages for the server; none are left.
    pub fn take(&mut self) -> impl Iterator<Item = Bytes> + use<> {
        messages(std::mem::take(&mut self.bytes))
    }
}

fn messages(bytes: Vec<u8>) -> impl Iterator<Item = Bytes> {
    let mut rest = Bytes::from(bytes);
    std::iter::from_fn(move || {
        let next = rest.split_to(rest.len().min(MESSAGE_BYTES));
        (!next.is_empty()).then_some(next)
    })
}

impl CopyRow<'_> {
    /// A value of type bigint.
    pub fn bigint(&mut self, number: i64) {
        self.value(&number.to_be_bytes());
    }

    /// A value of type integer.
    pub fn integer(&mut self, number: i32) {
        self.value(&number.to_be_bytes());
    }

    /// A value of type smallint.
    pub fn smallint(&mut self, number: i16) {
        self.value(&number.to_be_bytes());
    }

    /// A value of type bytea or text.
    pub fn value(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// NULL.
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
    }

    /// Text, or NULL.
    pub fn maybe(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.value(text.as_bytes()),
            None => self.null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_means_something_to_copy_means_itself() {
        let mut rows = CopyTexts::default();
        rows.row([None, Some("".into()), Some("\\N".into()), Some("a\tb\nc\rd\\.".into())].into_iter());
        assert_eq!(rows.take().collect::<Vec<_>>().concat(), b"\\N\t\t\\\\N\ta\\tb\\nc\\rd\\\\.\n");
    }

    #[test]
    fn rows_are_cut_into_messages_and_nothing_is_lost() {
        let mut rows = CopyRows::default();
        assert!(rows.is_empty());
        rows.row(2).value(&vec![7; MESSAGE_BYTES]);
        rows.row(2).null();
        let all: Vec<Bytes> = rows.take().collect();
        assert_eq!(all.len(), 2);
        assert!(rows.is_empty(), "taken rows are gone");
        let whole = all.concat();
        assert!(whole.starts_with(HEADER) && whole.ends_with(&TRAILER));
        assert_eq!(whole.len(), HEADER.len() + 2 + 4 + MESSAGE_BYTES + 2 + 4 + 2);
    }
}
